// What calls to a master and runs of a function need, whoever makes them.
import { setTimeout as delay } from 'node:timers/promises';
import { ClientError, Status, createChannel } from 'nice-grpc';
import type { Duration } from './stubs/google/protobuf/duration.js';
import type { Outcome } from './stubs/pullwork/v1/master_service.js';
import { FailureKind } from './stubs/pullwork/v1/task.js';
import type { Ticket } from './stubs/pullwork/v1/worker.js';

const LONGEST_WAIT_MS = 5_000;
export const FIRST_WAIT_MS = 200;

/** Does the work of one type. It should end soon after `signal` is aborted. */
export type Work = (payload: Buffer, signal: AbortSignal) => unknown;

/** What a function throws for a payload that it can't take; it is never tried again. */
export class Rejected extends Error {}

/** Opens a connection to a master; it connects by itself, again and again. */
export const dial = (address: string) =>
  createChannel(address, undefined, {
    'grpc.keepalive_time_ms': 10_000, // the master takes one ping in 5 s
    'grpc.keepalive_timeout_ms': 5_000,
    'grpc.keepalive_permit_without_calls': 1, // an idle worker needs them most
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
  });

/** Waits, less a random share, and returns how long to wait the next time. */
export const pause = async (waitMs: number, signal?: AbortSignal): Promise<number> => {
  await sleep(waitMs * (1 - Math.random() / 2), signal);
  return Math.min(2 * waitMs, LONGEST_WAIT_MS);
};

/** Waits, or until it is told not to. */
export const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal }).catch(() => undefined);

export const sessionLost = (error: unknown): boolean =>
  error instanceof ClientError && error.code === Status.FAILED_PRECONDITION;

export const milliseconds = (duration?: Duration): number =>
  duration ? duration.seconds * 1000 + duration.nanos / 1e6 : 0;

/** Writes a line for programs and people. */
export const log = (message: string, more: object = {}): void =>
  console.log(JSON.stringify({ time: new Date(), message, ...more }));

/** Makes one attempt; whatever the function does, it ends in an outcome. */
export async function run(ticket: Ticket, work: Work | undefined, stop: AbortSignal): Promise<Outcome> {
  const { leaseToken } = ticket;
  const boundMs = milliseconds(ticket.executionTimeout);
  const timeout = new AbortController();
  const timer = boundMs ? setTimeout(() => timeout.abort(), boundMs) : undefined;
  try {
    if (!work) throw new Error(`this worker has no function for the type '${ticket.type}'`);
    const value = await work(ticket.payload, AbortSignal.any([stop, timeout.signal]));
    const data = Buffer.from(JSON.stringify(value ?? null));
    return { leaseToken, outcome: { $case: 'success', value: { data, contentType: 'application/json' } } };
  } catch (error) {
    if (error instanceof Rejected) return failed(leaseToken, error, FailureKind.FAILURE_KIND_REJECTED);
    if (timeout.signal.aborted) return failed(leaseToken, error, FailureKind.FAILURE_KIND_TIMEOUT);
    return failed(leaseToken, error);
  } finally {
    clearTimeout(timer);
  }
}

export function failed(leaseToken: string, error: unknown, kind = FailureKind.FAILURE_KIND_APPLICATION): Outcome {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const failure = { kind, type: name, message, details: stack ?? '', retryable: undefined };
  return { leaseToken, outcome: { $case: 'failure', value: failure } };
}
