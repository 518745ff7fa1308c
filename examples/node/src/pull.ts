// A Pullwork worker made of generated stubs, and of nothing else of Pullwork.
//
// Heartbeats come from this thread: a function that computes for long belongs into a worker thread.
import { randomUUID } from 'node:crypto';
import { type CallOptions, createClient } from 'nice-grpc';
import { FIRST_WAIT_MS, type Work, dial, log, milliseconds, pause, run, sessionLost, sleep } from './calls.js';
import { Held } from './held.js';
import * as pb from './stubs/pullwork/v1/master_service.js';

const PARK_S = 20; // how long the master may keep a request that it has nothing for
const CALL_MS = (PARK_S + 15) * 1000;
const DRAIN_GRACE_MS = 30_000; // how long running work may take once the worker drains
const REPORT_BYTES = 3 * 2 ** 20; // a message may have 4 MiB

/** Pulls work until it is drained; then the process ends. */
export class Worker {
  private readonly master: pb.MasterServiceClient;
  private readonly held: Held;
  private readonly bootId = randomUUID(); // made anew at each start of the process
  private reporting = false;
  private draining = false;
  private left = false;
  private terms?: pb.RegisterResponse; // none: no session
  private session = new AbortController(); // aborted when the session ends
  private asking?: AbortController; // of the RequestTask that is on its way
  private lease?: NodeJS.Timeout; // rings after a lease's length without contact

  constructor(
    address: string,
    private readonly about: { name: string; queues: string[]; slots: number },
    private readonly functions: Record<string, Work>,
  ) {
    this.master = createClient(pb.MasterServiceDefinition, dial(address));
    this.held = new Held(functions, () => this.next());
  }

  /** Begins a session with all that is held. */
  async register(): Promise<void> {
    this.session = new AbortController();
    const { signal } = this.session;
    const request = {
      // Two workers of one name would end each other's sessions for ever.
      workerName: `${this.about.name}-${this.bootId.slice(0, 8)}`, bootId: this.bootId, version: 'example',
      queues: this.about.queues, slots: this.about.slots, taskTypes: Object.keys(this.functions), held: this.held.inventory(),
    };
    const terms = await this.call(signal, (options) => this.master.register(request, options));
    if (!terms) return;
    log('registered', { session: terms.sessionId, term: terms.term, held: this.held.size });
    this.terms = terms;
    this.heard();
    const lost = terms.heldVerdicts.filter((it) => it.decision === pb.HeldDecision.HELD_DECISION_ABANDON);
    this.held.abandon('the lease did not outlast its session', lost.map((it) => it.leaseToken));
    void this.listen(signal, terms);
    void this.heartbeats(signal, terms);
    this.next();
  }

  /** Takes no more work, finishes what runs, and leaves. */
  drain(): void {
    if (this.draining) return;
    log('draining', { held: this.held.size });
    this.draining = true;
    this.asking?.abort(); // tickets that are just leaving for it go back when the session ends
    setTimeout(() => void this.leave(), DRAIN_GRACE_MS);
    this.next();
  }

  private async leave(): Promise<void> {
    if (this.left) return;
    this.left = true;
    const sessionId = this.terms?.sessionId;
    const options = { signal: AbortSignal.timeout(3_000) };
    if (sessionId) await this.master.deregister({ sessionId, reason: 'drained' }, options).catch(() => undefined);
    process.exit(0);
  }

  /** Makes a call until it is answered, each time with the same ids: a lost answer costs nothing. */
  private async call<A>(signal: AbortSignal, method: (options: CallOptions) => Promise<A>): Promise<A | undefined> {
    for (let wait = FIRST_WAIT_MS; !signal.aborted; wait = await pause(wait, signal)) {
      try {
        const answer = await method({ signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]) });
        if (signal.aborted) return undefined;
        this.heard();
        return answer;
      } catch (error) {
        if (signal.aborted) return undefined;
        if (sessionLost(error)) this.lost(error);
        else log('no answer; asking again', { why: String(error) });
      }
    }
    return undefined;
  }

  private lost(why: unknown): void {
    log('registering anew', { why: String(why) });
    this.session.abort();
    this.terms = this.asking = undefined;
    this.reporting = false;
    this.held.unsend();
    void this.register();
  }

  /** Notes contact. After a lease's length without any, others get what runs here. */
  private heard(): void {
    if (!this.terms) return;
    clearTimeout(this.lease);
    const leaseMs = milliseconds(this.terms.leaseDuration);
    this.lease = setTimeout(() => this.held.abandon('no contact'), leaseMs);
  }

  /** Keeps the notification stream open until the session ends. */
  private async listen(session: AbortSignal, terms: pb.RegisterResponse): Promise<void> {
    for (let wait = FIRST_WAIT_MS; !session.aborted; wait = await pause(wait, session)) {
      const hangUp = new AbortController(); // a silent master's stream is dead
      const patience = () => setTimeout(() => hangUp.abort(), 3 * milliseconds(terms.heartbeatInterval));
      let silence = patience();
      try {
        const signal = AbortSignal.any([session, hangUp.signal]);
        for await (const { event } of this.master.taskIncoming({ sessionId: terms.sessionId }, { signal })) {
          clearTimeout(silence);
          silence = patience();
          wait = FIRST_WAIT_MS;
          this.heard();
          if (event?.$case === 'cancel') this.held.abandon(event.value.reason, event.value.leaseTokens);
          if (event?.$case === 'drain') this.drain();
          // `available` says nothing new: a request is parked whenever a slot is free.
        }
      } catch (error) {
        if (!session.aborted && sessionLost(error)) this.lost(error);
      }
      clearTimeout(silence);
    }
  }

  private async heartbeats(session: AbortSignal, terms: pb.RegisterResponse): Promise<void> {
    for (let due = Promise.resolve(); !session.aborted; await due) {
      const intervalMs = milliseconds(terms.heartbeatInterval);
      due = sleep(intervalMs, session);
      const signal = AbortSignal.any([session, AbortSignal.timeout(intervalMs)]); // then the next one knows more
      const request = { sessionId: terms.sessionId, held: this.held.inventory(), draining: this.draining };
      const answer = await this.call(signal, (options) => this.master.heartbeat(request, options));
      if (!answer) continue;
      terms.heartbeatInterval = answer.heartbeatInterval;
      this.held.abandon('the master says so', answer.abandon);
      if (answer.drain) this.drain();
    }
  }

  /** Reports what ended, asks for as much as there are free slots, and leaves when all is done. */
  private next(): void {
    if (this.draining && this.held.size === 0) void this.leave();
    if (!this.terms) return;
    const { sessionId } = this.terms;
    void this.report(this.session.signal, sessionId);
    const credit = this.about.slots - this.held.busy;
    if (credit > 0 && !this.asking && !this.draining) void this.ask(this.session.signal, sessionId, credit);
  }

  private async ask(session: AbortSignal, sessionId: string, maxTasks: number): Promise<void> {
    const asking = (this.asking = new AbortController());
    const request = { sessionId, maxTasks, wait: { seconds: PARK_S }, requestId: randomUUID() };
    const signal = AbortSignal.any([session, asking.signal]);
    const answer = await this.call(signal, (options) => this.master.requestTask(request, options));
    if (!answer) return;
    this.asking = undefined;
    this.held.take(answer.tickets, this.terms?.payloadBytesMax ?? 0);
  }

  /** Tells outcomes, and asks for as many tickets as there are: their slots are free. */
  private async report(session: AbortSignal, sessionId: string): Promise<void> {
    const outcomes = this.reporting ? [] : this.held.outcomes(REPORT_BYTES);
    if (outcomes.length === 0) return;
    this.reporting = true;
    const request = { sessionId, outcomes, requestTasks: this.draining ? 0 : outcomes.length, requestId: randomUUID() };
    const answer = await this.call(session, (options) => this.master.reportResult(request, options));
    if (!answer) return;
    this.reporting = false;
    this.held.settle(outcomes);
    const refused = answer.verdicts.filter((verdict) => verdict !== pb.Verdict.VERDICT_ACCEPTED);
    if (refused.length > 0) log('outcomes were not taken', { verdicts: refused.map((it) => pb.verdictToJSON(it)) });
    this.held.take(answer.tickets, this.terms?.payloadBytesMax ?? 0);
  }
}
