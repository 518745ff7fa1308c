// The tickets of a worker, from their arrival until the verdict on their outcome.
import { type Work, log, run } from './calls.js';
import { Outcome } from './stubs/pullwork/v1/master_service.js';
import type { HeldLease, Ticket } from './stubs/pullwork/v1/worker.js';

type Attempt = { stop: AbortController; outcome?: Outcome; sent: boolean };

export class Held {
  private readonly attempts = new Map<string, Attempt>();
  private stopping = 0; // functions that were told to stop and still run

  constructor(private readonly functions: Record<string, Work>, private readonly changed: () => void) {}

  get size(): number {
    return this.attempts.size;
  }

  /** Slots that can't take a ticket now. */
  get busy(): number {
    return this.attempts.size + this.stopping;
  }

  /** Starts what arrived; every ticket has a slot. */
  take(tickets: Ticket[], bytesMax: number): void {
    for (const ticket of tickets) {
      const attempt: Attempt = { stop: new AbortController(), sent: false };
      this.attempts.set(ticket.leaseToken, attempt);
      void run(ticket, this.functions[ticket.type], attempt.stop.signal, bytesMax).then((outcome) => {
        attempt.outcome = outcome;
        if (this.attempts.get(ticket.leaseToken) !== attempt) this.stopping--;
        this.changed();
      });
    }
    this.changed();
  }

  /** Stops attempts that are worth nothing any more; nothing is reported of them. */
  abandon(why: string, tokens: Iterable<string> = [...this.attempts.keys()]): void {
    for (const token of tokens) {
      const attempt = this.attempts.get(token);
      if (!attempt || attempt.sent) continue; // the verdict will say the same
      log('abandoned', { lease: token, why });
      attempt.stop.abort();
      this.attempts.delete(token);
      if (!attempt.outcome) this.stopping++;
    }
    this.changed();
  }

  /** A line for each ticket, as heartbeats and Register need them. */
  inventory(): HeldLease[] {
    return [...this.attempts.keys()].map((leaseToken) => ({ leaseToken, started: true }));
  }

  /** Outcomes to report now, as many as fit into the bytes. */
  outcomes(bytesMax: number): Outcome[] {
    const outcomes: Outcome[] = [];
    let bytes = 0;
    for (const attempt of this.attempts.values()) {
      if (!attempt.outcome) continue;
      bytes += Outcome.encode(attempt.outcome).finish().length;
      if (outcomes.length > 0 && bytes > bytesMax) break;
      outcomes.push(attempt.outcome);
      attempt.sent = true;
    }
    return outcomes;
  }

  /** Forgets tickets whose outcomes got their verdicts. */
  settle(outcomes: Outcome[]): void {
    for (const { leaseToken } of outcomes) this.attempts.delete(leaseToken);
  }

  /** Takes outcomes back from a report that will get no verdicts. */
  unsend(): void {
    for (const attempt of this.attempts.values()) attempt.sent = false;
  }
}
