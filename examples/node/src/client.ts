// Counts the words of files over Pullwork's workers, one task a file.
//
// It chooses the tasks' ids, so that each of its calls may be repeated: a master that is restarted
// in between costs a moment and nothing else.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { ClientError, Status, createClient } from 'nice-grpc';
import { dial, sleep } from './calls.js';
import { type Task, TaskState } from './stubs/pullwork/v1/task.js';
import { TaskServiceDefinition } from './stubs/pullwork/v1/task_service.js';

const SUBMIT_MAX = 100; // tasks in one call, which may have 1000 and 3 MiB

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { queue: { type: 'string', default: 'default' } },
});
const channel = dial(process.env.PULLWORK_ADDRESS ?? '127.0.0.1:7733');
const master = createClient(TaskServiceDefinition, channel);

/** Repeats what the master could not answer, or had no room for. */
async function untilAnswered<A>(call: () => Promise<A>): Promise<A> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const code = error instanceof ClientError ? error.code : undefined;
      if (code !== Status.UNAVAILABLE && code !== Status.RESOURCE_EXHAUSTED) throw error;
      console.error(`trying again: ${String(error)}`);
      await sleep(500);
    }
  }
}

const told = (task: Task): string => {
  if (task.state === TaskState.TASK_STATE_SUCCEEDED) return task.result?.data.toString() ?? '';
  return task.state === TaskState.TASK_STATE_FAILED ? `failed: ${task.failure?.message}` : 'cancelled';
};

/** Submits a task for each file and prints the results as they come. */
async function count(names: string[]): Promise<void> {
  const fileOf = new Map(names.map((name) => [randomUUID() as string, name]));
  const tasks = await Promise.all(
    [...fileOf].map(async ([taskId, file]) => ({
      taskId, queue: values.queue, type: 'words.count', contentType: 'application/json',
      payload: Buffer.from(JSON.stringify({ text: await readFile(file, 'utf8') })),
      executionTimeout: { seconds: 60 }, retry: { maxAttempts: 3 },
    })),
  );
  await untilAnswered(() => master.submitTasks({ tasks }));
  let cursor = '';
  let waiting = tasks.length;
  // A broken stream goes on from its cursor: no end is missed, none comes twice.
  await untilAnswered(async () => {
    for await (const news of master.watchTasks({ taskIds: [...fileOf.keys()], cursor })) {
      for (const task of news.tasks) console.log(`${fileOf.get(task.spec?.taskId ?? '')}: ${told(task)}`);
      waiting -= news.tasks.length;
      cursor = news.cursor;
      if (waiting === 0) return;
    }
  });
}

for (let start = 0; start < files.length; start += SUBMIT_MAX) await count(files.slice(start, start + SUBMIT_MAX));
channel.close();
