import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { type ClaudeRequested, claudeRequestedSchema, topics } from '@millrace/contracts';
import { ChildProgram, type FakeClaudeServer, type KafkaReader } from '@millrace/testing';

import { requested, RunningWorkers } from './running-workers.fixture.ts';

jest.setTimeout(60_000);

/** Longer than a busy machine holds up a process that is not stopped. */
const leaseMs = 3_000;

let surroundings: RunningWorkers;
let claude: FakeClaudeServer;
let finished: KafkaReader;
const workers: ChildProgram[] = [];

beforeAll(async () => {
  surroundings = await RunningWorkers.prepare();
  ({ claude } = surroundings);
  finished = await surroundings.reader(topics.jobsFinished.name);
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.kill()));
});

afterAll(async () => {
  await finished.stop();
  await surroundings.close();
});

function startWorker(): ChildProgram {
  const file = join(import.meta.dirname, 'worker-process.fixture.ts');
  const env = {
    ...surroundings.environment(),
    HTTP_PORT: '0',
    LEASE_MS: String(leaseMs),
    LOG_LEVEL: 'error',
  };
  const worker = ChildProgram.start(file, [surroundings.kafka.prefix], env);
  workers.push(worker);
  return worker;
}

type Fields = Partial<Record<keyof ClaudeRequested, unknown>>;

function request(id: string, fields: Fields = {}): ClaudeRequested {
  return claudeRequestedSchema.parse({
    tenant: 'default',
    call_id: id,
    lane: 'standard',
    stream: false,
    params: {
      model: 'claude-sonnet-5-5',
      max_tokens: 100,
      messages: [{ role: 'user', content: id }],
    },
    reply: { kind: 'job', created_at: '2026-11-23T10:00:00.000Z' },
    ...fields,
  });
}

async function submit(requests: readonly ClaudeRequested[]): Promise<void> {
  await surroundings.publisher.publish(requests.map(requested));
}

function rows(query: string, values: unknown[] = []): Promise<unknown[]> {
  return surroundings.rows(query, values);
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function count(query: string): Promise<number> {
  return (await rows(query)).length;
}

/** All that a zombie could spoil of these calls. */
async function stateOf(ids: readonly string[]): Promise<unknown[][]> {
  return Promise.all([
    rows('SELECT * FROM worker.calls WHERE call_id = ANY($1) ORDER BY call_id', [ids]),
    rows('SELECT * FROM worker.attempts WHERE call_id = ANY($1) ORDER BY call_id', [ids]),
    rows('SELECT * FROM worker.sessions ORDER BY session_id'),
    rows('SELECT * FROM worker.session_turns ORDER BY session_id, seq'),
    rows('SELECT * FROM worker.outbox ORDER BY id'),
  ]);
}

it('a worker that slept through its lease writes only what it knows to be spent', async () => {
  const turn = request('turn', { session_id: 'talk', session_seq: 1, stream: true });
  const calls = [turn, request('lone')];
  const ids: readonly string[] = calls.map(({ call_id: id }) => id);
  let wakeZombie = (): void => undefined;
  const woken = new Promise<void>((resolve) => (wakeZombie = resolve));
  // What the one that sleeps asked for is answered while it sleeps; all others at once.
  claude.answerWith((_, nth) =>
    nth <= calls.length
      ? { kind: 'message', text: 'too late', after: woken }
      : { kind: 'message', text: 'in time' },
  );

  const zombie = startWorker();
  await submit(calls);
  await until(() => claude.requests.length === calls.length);
  zombie.signal('SIGSTOP');
  const heir = startWorker();
  const settled = "SELECT FROM worker.calls WHERE state = 'SETTLED'";
  await until(async () => (await count(settled)) === calls.length);
  await until(async () => (await count('SELECT FROM worker.outbox')) === 0);
  const before = await stateOf(ids);
  const owners = await count('SELECT FROM worker.processes');

  wakeZombie();
  await until(() => claude.inFlight === 0);
  zombie.signal('SIGCONT');
  // It is another owner then, and alone: what it still meant to write is written before the end
  // of a new call.
  await until(async () => (await count('SELECT FROM worker.processes')) > owners);
  await heir.kill();
  await submit([request('new')]);
  await until(async () => (await count(settled)) === calls.length + 1);
  await until(async () => (await count('SELECT FROM worker.outbox')) === 0);

  expect(await stateOf(ids)).toEqual(before);
  const usage = { input_tokens: 11, output_tokens: 7 };
  // It hears of its lease before the answers or after them. Those that it heard are noted, once.
  const late = await rows('SELECT call_id, attempt, usage FROM worker.late_usage');
  const possible = ids.map((call_id) => ({ call_id, attempt: 1, usage }));
  for (const one of late) expect(possible).toContainEqual(one);
  expect(new Set(late.map((one) => JSON.stringify(one))).size).toBe(late.length);
  await finished.waitFor(calls.length + 1);
  const ends = finished.messages.filter(({ key }) => ids.includes(String(key)));
  expect(ends.map(({ value }) => JSON.parse(String(value)))).toEqual(
    ends.map(() =>
      expect.objectContaining({
        status: 'succeeded',
        result: 'in time',
        attempts: [
          expect.objectContaining({ number: 1, outcome: 'unknown', code: 'interrupted' }),
          expect.objectContaining({ number: 2, outcome: 'succeeded' }),
        ],
      }),
    ),
  );
  expect(ends).toHaveLength(calls.length);
  expect(claude.requests).toHaveLength(2 * calls.length + 1);
});
