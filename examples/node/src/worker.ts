// A worker for two types of tasks; pull.ts does what the protocol asks for.
import { parseArgs } from 'node:util';
import { Rejected, type Work, log, sleep } from './calls.js';
import { Worker } from './pull.js';

/** Payloads are JSON objects of parameters. */
const parametersOf = (payload: Buffer): Record<string, unknown> => {
  try {
    return JSON.parse(payload.toString()) as Record<string, unknown>;
  } catch (error) {
    throw new Rejected(`the payload is no JSON: ${String(error)}`);
  }
};

// A worker with one function less has one type less.
const functions: Record<string, Work> = {
  'words.count': (payload) => {
    const { text } = parametersOf(payload);
    if (typeof text !== 'string') throw new Rejected('`text` is missing, or is no text');
    return text.split(/\s+/).filter(Boolean).length;
  },
  // What `pullwork conformance` asks of a worker.
  'conformance.work': async (payload, signal) => {
    const { seconds = 0, size = 0 } = parametersOf(payload);
    await sleep(Number(seconds) * 1000, signal);
    signal.throwIfAborted();
    return 'x'.repeat(Number(size));
  },
};

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: 'node' }, // how people call it; a mark is added
    queues: { type: 'string', default: 'default' }, // with commas between them
    slots: { type: 'string', default: '2' }, // how many tasks to run at once
  },
});
const about = { name: values.name, queues: values.queues.split(','), slots: Number(values.slots) };
const worker = new Worker(process.env.PULLWORK_ADDRESS ?? '127.0.0.1:7733', about, functions);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    log(signal);
    worker.drain();
  });
}
