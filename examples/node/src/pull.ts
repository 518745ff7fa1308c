// A Pullwork worker made of generated stubs, and of nothing else of Pullwork.
//
// Heartbeats come from this thread: a function that computes for long belongs into a worker thread.
import { randomUUID } from 'node:crypto';
import { type CallOptions, createClient } from 'nice-grpc';
import { FIRST_WAIT_MS, type Work, dial, failed, log, milliseconds, pause, run, sessionLost, sleep } from './calls.js';
import type { Duration } from './stubs/google/protobuf/duration.js';
import * as pb from './stubs/pullwork/v1/master_service.js';
import type { HeldLease, Ticket } from './stubs/pullwork/v1/worker.js';

const PARK_S = 20; // how long the master may keep a request that it has nothing for
const CALL_MS = (PARK_S + 15) * 1000;
const DRAIN_GRACE_MS = 30_000; // how long running work may take once the worker drains

/** Pulls work until it is drained; then the process ends. */
export class Worker {
  private readonly master: pb.MasterServiceClient;
  private readonly bootId = randomUUID(); // made anew at each start of the process
  private readonly held = new Map<string, AbortController>(); // by lease token, from arrival until the verdict
  private readonly working = new Set<Promise<void>>();
  private readonly draining = new AbortController();
  private free: number; // slots that no ticket has, and no request is out for
  private asking = false;
  private session?: Promise<pb.RegisterResponse>;
  private intervalMs = 0; // these two are as the master last said
  private leaseMs = 0;
  private contact?: NodeJS.Timeout; // rings after a lease's length without any

  constructor(
    address: string,
    private readonly about: { name: string; queues: string[]; slots: number },
    private readonly functions: Record<string, Work>,
  ) {
    this.master = createClient(pb.MasterServiceDefinition, dial(address));
    this.free = about.slots;
    void this.listen();
    void this.beat();
    void this.ask();
  }

  /** Takes no more work, finishes what runs, and leaves. */
  drain(): void {
    if (this.draining.signal.aborted) return;
    log('draining', { held: this.held.size });
    this.draining.abort(); // tickets that are just leaving for us go back when the session ends
    void Promise.race([Promise.all(this.working), sleep(DRAIN_GRACE_MS)]).then(() => this.leave());
  }

  private async leave(): Promise<never> {
    const left = this.register().then(({ sessionId }) => this.master.deregister({ sessionId }));
    await Promise.race([left.catch(() => undefined), sleep(3_000)]);
    process.exit(0);
  }

  /** Returns the session that stands, or begins one with all that is held. */
  private readonly register = (): Promise<pb.RegisterResponse> => (this.session ??= this.begin());

  private async begin(): Promise<pb.RegisterResponse> {
    const { name, queues, slots } = this.about;
    // Two workers of one name would end each other's sessions for ever.
    const me = { workerName: `${name}-${this.bootId.slice(0, 8)}`, bootId: this.bootId, version: 'example' };
    for (let wait = FIRST_WAIT_MS; ; wait = await pause(wait)) {
      try {
        const request = { ...me, queues, slots, taskTypes: Object.keys(this.functions), held: this.inventory() };
        const session = await this.master.register(request, { signal: AbortSignal.timeout(CALL_MS) });
        log('registered', { session: session.sessionId, term: session.term, held: request.held.length });
        this.heard(session);
        const lost = session.heldVerdicts.filter((it) => it.decision === pb.HeldDecision.HELD_DECISION_ABANDON);
        this.letGo('the lease did not outlast its session', lost.map((it) => it.leaseToken));
        return session;
      } catch (error) {
        log('not registered', { why: String(error) });
      }
    }
  }

  /** Makes a call until it is answered, each time with the same ids: a lost answer costs nothing. */
  private async call<A>(
    method: (session: pb.RegisterResponse, options: CallOptions) => Promise<A>, stop?: AbortSignal,
  ): Promise<A | undefined> {
    for (let wait = FIRST_WAIT_MS; !stop?.aborted; wait = await pause(wait, stop)) {
      const standing = this.register();
      try {
        const late = AbortSignal.timeout(CALL_MS);
        const answer = await method(await standing, { signal: stop ? AbortSignal.any([stop, late]) : late });
        this.heard();
        return stop?.aborted ? undefined : answer;
      } catch (error) {
        if (!stop?.aborted) this.failed(standing, error);
      }
    }
    return undefined;
  }

  /** Forgets a session that the master does not know any more. */
  private failed(standing: Promise<pb.RegisterResponse>, error: unknown): void {
    log('no answer', { why: String(error) });
    if (sessionLost(error) && this.session === standing) this.session = undefined;
  }

  /** Notes contact, and the times to live by. After a lease's length without any, others get what runs here. */
  private heard(times: { heartbeatInterval?: Duration; leaseDuration?: Duration } = {}): void {
    this.intervalMs = milliseconds(times.heartbeatInterval) || this.intervalMs;
    this.leaseMs = milliseconds(times.leaseDuration) || this.leaseMs;
    clearTimeout(this.contact);
    this.contact = setTimeout(() => this.letGo('no contact', [...this.held.keys()]), this.leaseMs);
  }

  /** Keeps the notification stream open. */
  private async listen(): Promise<void> {
    for (let wait = FIRST_WAIT_MS; ; wait = await pause(wait)) {
      const standing = this.register();
      const hangUp = new AbortController(); // a silent master's stream is dead
      let silence: NodeJS.Timeout | undefined;
      try {
        const { sessionId } = await standing;
        silence = setTimeout(() => hangUp.abort(), 3 * this.intervalMs);
        for await (const { event } of this.master.taskIncoming({ sessionId }, { signal: hangUp.signal })) {
          wait = FIRST_WAIT_MS;
          this.heard();
          clearTimeout(silence);
          silence = setTimeout(() => hangUp.abort(), 3 * this.intervalMs);
          if (event?.$case === 'cancel') this.letGo(event.value.reason, event.value.leaseTokens);
          if (event?.$case === 'drain') this.drain();
          // `available` says nothing new: a request is parked whenever a slot is free.
        }
      } catch (error) {
        this.failed(standing, error);
      }
      clearTimeout(silence);
    }
  }

  /** Sends heartbeats; one that fails is not repeated, for the next one knows more. */
  private async beat(): Promise<void> {
    for (;;) {
      const standing = this.register();
      const { sessionId } = await standing;
      await sleep(this.intervalMs);
      try {
        const request = { sessionId, held: this.inventory(), draining: this.draining.signal.aborted };
        const answer = await this.master.heartbeat(request, { signal: AbortSignal.timeout(this.intervalMs) });
        this.heard(answer);
        this.letGo('the master says so', answer.abandon);
        if (answer.drain) this.drain();
      } catch (error) {
        this.failed(standing, error);
      }
    }
  }

  /** Asks for as many tickets as there are free slots, until the worker drains. */
  private async ask(): Promise<void> {
    if (this.asking || this.free === 0) return;
    const maxTasks = this.free;
    this.free = 0;
    this.asking = true;
    const request = { maxTasks, wait: { seconds: PARK_S }, requestId: randomUUID() };
    const answer = await this.call(
      ({ sessionId }, options) => this.master.requestTask({ ...request, sessionId }, options), this.draining.signal,
    );
    if (!answer) return;
    this.asking = false;
    this.free += maxTasks - answer.tickets.length;
    for (const ticket of answer.tickets) {
      const serving = this.serve(ticket).finally(() => this.working.delete(serving));
      this.working.add(serving);
    }
    void this.ask();
  }

  /** Fills a slot with a ticket, and with those that the answers to its reports bring. */
  private async serve(first: Ticket): Promise<void> {
    for (let ticket: Ticket | undefined = first; ticket; ) {
      const stop = new AbortController();
      this.held.set(ticket.leaseToken, stop);
      ticket = await this.report(await run(ticket, this.functions[ticket.type], stop.signal));
    }
    this.free++;
    void this.ask();
  }

  /** Tells an outcome until it has a verdict, and returns the slot's next ticket, if one waits. */
  private async report(outcome: pb.Outcome): Promise<Ticket | undefined> {
    const request = { outcomes: [outcome], requestTasks: this.draining.signal.aborted ? 0 : 1, requestId: randomUUID() };
    const answer = await this.call(async ({ sessionId, payloadBytesMax }, options) => {
      if (!this.held.has(outcome.leaseToken)) return undefined; // nothing is reported of what was let go
      const size = outcome.outcome?.$case === 'success' ? outcome.outcome.value.data.length : 0;
      const tooLarge = new Error(`the result has ${size} bytes; the master takes ${payloadBytesMax}`);
      if (size > payloadBytesMax) request.outcomes = [failed(outcome.leaseToken, tooLarge)];
      return this.master.reportResult({ ...request, sessionId }, options);
    });
    this.letGo(answer?.verdicts.map(pb.verdictToJSON).join() ?? '', [outcome.leaseToken]);
    return answer?.tickets[0];
  }

  /** Stops what is worth nothing any more, or is done. */
  private letGo(why: string, tokens: string[]): void {
    for (const token of tokens) {
      this.held.get(token)?.abort();
      if (this.held.delete(token)) log('let go', { lease: token, why });
    }
  }

  private inventory(): HeldLease[] {
    return [...this.held.keys()].map((leaseToken) => ({ leaseToken, started: true }));
  }
}
