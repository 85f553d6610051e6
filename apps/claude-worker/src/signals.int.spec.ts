import { createServer } from 'node:http';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, beforeEach, expect, it, jest } from '@jest/globals';
import { type ClaudeRequested, claudeRequestedSchema, topics } from '@millrace/contracts';
import { ChildProgram, type FakeClaudeServer, type KafkaReader } from '@millrace/testing';
import { type Admin, Kafka, logLevel } from 'kafkajs';

import { requested, RunningWorkers } from './running-workers.fixture.ts';

jest.setTimeout(300_000);

let surroundings: RunningWorkers;
let claude: FakeClaudeServer;
let finished: KafkaReader;
let admin: Admin;
const workers: ChildProgram[] = [];

beforeAll(async () => {
  surroundings = await RunningWorkers.prepare();
  ({ claude } = surroundings);
  finished = await surroundings.reader(topics.jobsFinished.name);
  const brokers = [...surroundings.kafka.brokers];
  admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
});

beforeEach(() => surroundings.sql.query('TRUNCATE worker.calls, worker.processes'));

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.kill()));
});

afterAll(async () => {
  await admin.disconnect();
  await finished.stop();
  await surroundings.close();
});

function startWorker(environment: Record<string, string> = {}): ChildProgram {
  const file = join(import.meta.dirname, 'worker-process.fixture.ts');
  const env = {
    ...surroundings.environment(),
    HTTP_PORT: '0',
    LOG_LEVEL: 'error',
    // Less than the backlog, so that each process finds some of it.
    MAX_IN_FLIGHT: '6',
    SHUTDOWN_MS: '60000',
    ...environment,
  };
  const worker = ChildProgram.start(file, [surroundings.kafka.prefix], env);
  workers.push(worker);
  return worker;
}

function request(id: string): ClaudeRequested {
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
  });
}

async function submit(ids: readonly string[]): Promise<void> {
  await surroundings.publisher.publish(ids.map((id) => requested(request(id))));
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function count(what: string): Promise<number> {
  return (await surroundings.rows(`SELECT FROM worker.${what}`)).length;
}

async function group(): Promise<{ state: string; members: number }> {
  const { groups } = await admin.describeGroups([`${surroundings.kafka.prefix}claude-worker`]);
  return { state: groups[0]?.state ?? 'none', members: groups[0]?.members.length ?? 0 };
}

/** How often each of these calls was sent. */
function sends(ids: readonly string[]): number[] {
  return ids.map((id) => claude.requests.filter(({ prompt }) => prompt === id).length);
}

const names = (prefix: string, length: number): string[] =>
  Array.from({ length }, (_, n) => `${prefix}-${n}`);

/** Calls that wait in the table, taken in by a process that is stopped before it runs them. */
async function leaveBacklog(ids: readonly string[]): Promise<void> {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  claude.answerWith(() => ({ kind: 'message', after: released }));
  const worker = startWorker({ MAX_IN_FLIGHT: '1' });
  await submit(ids);
  await worker.until(until(async () => (await count('calls')) === ids.length), 90_000);
  worker.signal('SIGTERM');
  await until(async () => (await group()).members === 0);
  release();
  expect(await worker.ended()).toBe(0);
}

it('a SIGTERM at any moment of the boot, and in a rebalance, pays no call twice', async () => {
  const ids = names('boot', 50);
  await leaveBacklog(ids);
  claude.answerWith(() => ({ kind: 'message', afterMs: 400 }));
  const sentBefore = () => claude.requests.length;
  const moments: (() => Promise<() => Promise<boolean>>)[] = [
    async () => {
      const processes = await count('processes');
      return async () => (await count('processes')) > processes;
    },
    () => Promise.resolve(async () => (await count("calls WHERE state = 'DISPATCHED'")) > 0),
    () => {
      const sent = sentBefore();
      return Promise.resolve(() => Promise.resolve(claude.requests.length > sent));
    },
    () => Promise.resolve(async () => (await group()).state !== 'Empty'),
    () => Promise.resolve(async () => (await group()).state === 'Stable'),
  ];
  for (const prepare of moments) {
    const hasCome = await prepare();
    const worker = startWorker();
    await worker.until(until(hasCome), 90_000);
    worker.signal('SIGTERM');
    expect(await worker.ended()).toBe(0);
    expect((await group()).members).toBe(0);
    expect(await count("calls WHERE state = 'DISPATCHED'")).toBe(0);
  }

  const first = startWorker();
  await first.until(until(async () => (await group()).state === 'Stable'), 90_000);
  const second = startWorker();
  await second.until(until(async () => (await group()).state === 'PreparingRebalance'), 90_000);
  first.signal('SIGTERM');
  second.signal('SIGTERM');
  expect(await Promise.all([first.ended(), second.ended()])).toEqual([0, 0]);
  expect((await group()).members).toBe(0);

  const last = startWorker();
  const settled = "calls WHERE state = 'SETTLED' AND attempt = 1";
  await last.until(until(async () => (await count(settled)) === ids.length), 90_000);
  expect(sends(ids)).toEqual(ids.map(() => 1));
  expect(await count('attempts')).toBe(0);
});

it('a call that takes longer than its lease survives a SIGTERM; no other is begun', async () => {
  let answer = (): void => undefined;
  const answered = new Promise<void>((resolve) => (answer = resolve));
  claude.answerWith(() => ({ kind: 'message', after: answered }));
  const port = await freePort();
  const worker = startWorker({ HTTP_PORT: String(port) });
  const readiness = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ status }) => status,
      () => 0,
    );
  await worker.until(until(async () => (await readiness()) === 200), 90_000);
  await submit(['long']);
  await worker.until(until(() => sends(['long'])[0] === 1));
  worker.signal('SIGTERM');
  await worker.until(until(async () => (await readiness()) === 503));
  await worker.until(until(async () => (await group()).members === 0));
  await submit(['late']);
  expect(claude.inFlight).toBe(1);
  // Longer than its lease is, and than every other service has for its whole stop.
  const sentAt = claude.requests.find(({ prompt }) => prompt === 'long')?.atMs ?? 0;
  await worker.until(until(() => Date.now() - sentAt > 12_000));
  expect(await readiness()).toBe(503);
  answer();
  expect(await worker.ended()).toBe(0);
  expect(sends(['long', 'late'])).toEqual([1, 0]);
  expect(await count("calls WHERE state = 'SETTLED' AND call_id = 'long'")).toBe(1);
  expect(await count('calls')).toBe(1);
  await finished.waitFor((messages) => messages.some(({ key }) => String(key) === 'long'));
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
