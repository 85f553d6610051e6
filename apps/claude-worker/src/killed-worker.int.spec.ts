import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import {
  type ClaudeRequested,
  claudeRequestedSchema,
  jobFinishedSchema,
  topics,
} from '@millrace/contracts';
import {
  ChildProgram,
  type FakeAnswer,
  type FakeClaudeServer,
  type KafkaReader,
  PostgresProxy,
  TestBroker,
} from '@millrace/testing';

import { requested, RunningWorkers } from './running-workers.fixture.ts';

jest.setTimeout(120_000);

/** Longer than a busy machine holds up a process that lives. */
const leaseMs = 4_000;

/** How often members join, and leave. */
const churnEveryMs = 2_000;

let broker: TestBroker;
let around: RunningWorkers;
let claude: FakeClaudeServer;
let finished: KafkaReader;
const workers: ChildProgram[] = [];

beforeAll(async () => {
  broker = await TestBroker.start();
  around = await RunningWorkers.prepare(broker.brokers);
  ({ claude } = around);
  finished = await around.reader(topics.jobsFinished.name);
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.kill()));
});

afterAll(async () => {
  await finished?.stop();
  await around?.close();
  await broker?.stop();
});

function startWorker(environment: Record<string, string> = {}): ChildProgram {
  const file = join(import.meta.dirname, 'worker-process.fixture.ts');
  const env = {
    ...around.environment(),
    HTTP_PORT: '0',
    LEASE_MS: String(leaseMs),
    LOG_LEVEL: 'error',
    ...environment,
  };
  const worker = ChildProgram.start(file, [around.kafka.prefix], env);
  workers.push(worker);
  return worker;
}

function call(id: string, fields: { readonly stream?: boolean } = {}): ClaudeRequested {
  return claudeRequestedSchema.parse({
    tenant: 'default',
    call_id: id,
    lane: 'standard',
    stream: false,
    params: { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: id }] },
    reply: { kind: 'job', created_at: '2026-11-23T10:00:00.000Z' },
    ...fields,
  });
}

async function submit(calls: readonly ClaudeRequested[]): Promise<void> {
  await around.publisher.publish(calls.map(requested));
}

const sendsOf = (id: string): number =>
  claude.requests.filter(({ prompt }) => prompt === id).length;
const endsOf = (id: string) => finished.messages.filter(({ key }) => String(key) === id);

async function endOf(id: string) {
  await finished.waitFor(() => endsOf(id).length > 0);
  const values = new Set(endsOf(id).map(({ value }) => String(value)));
  expect(values.size).toBe(1);
  return jobFinishedSchema.parse(JSON.parse([...values].join()));
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

it('a worker that is killed pays again at most what was at Claude, and labels that', async () => {
  const proxy = await PostgresProxy.start(around.database.url('claude_worker'));
  const isHeir = new Set<string>();
  const first: Readonly<Record<string, FakeAnswer>> = {
    sent: { kind: 'silence', headers: false },
    streaming: { kind: 'drip', everyMs: 50 },
  };
  claude.answerWith(({ prompt }): FakeAnswer => {
    const answer = isHeir.has(prompt) ? undefined : first[prompt];
    isHeir.add(prompt);
    return answer ?? { kind: 'message' };
  });
  const doomed = startWorker({ DATABASE_URL: proxy.url });
  await submit([call('warms-up')]);
  await doomed.until(endOf('warms-up'));

  // After the commit of the end, before the offset moves: from here on none does.
  broker.proxy.holdCommits();
  await submit([call('settled')]);
  await doomed.until(endOf('settled'));
  await submit([call('sent'), call('streaming', { stream: true })]);
  await doomed.until(until(() => sendsOf('sent') + sendsOf('streaming') === 2));
  const settling = proxy.hold('worker_settle_calls', 'before');
  await submit([call('answered')]);
  await doomed.until(settling);
  // The row is written, and its process does not know: nothing of it has been sent.
  const inserted = proxy.hold('worker_insert_calls', 'after');
  await submit([call('written')]);
  await doomed.until(inserted);
  // Inserts go one after the other, so this one gets no row.
  await submit([call('read')]);
  await doomed.kill();
  broker.proxy.passCommits();
  const before = await around.rows('SELECT call_id, state FROM worker.calls ORDER BY call_id');
  expect(before).toEqual([
    { call_id: 'answered', state: 'DISPATCHED' },
    { call_id: 'sent', state: 'DISPATCHED' },
    { call_id: 'settled', state: 'SETTLED' },
    { call_id: 'streaming', state: 'DISPATCHED' },
    { call_id: 'warms-up', state: 'SETTLED' },
    { call_id: 'written', state: 'DISPATCHED' },
  ]);
  const told = endsOf('settled').length;

  const heir = startWorker();
  const ids = ['read', 'written', 'sent', 'streaming', 'answered', 'settled'];
  await heir.until(finished.waitFor(() => ids.every((id) => endsOf(id).length > 0)));
  // Its request came again, as the offset had not moved.
  await heir.until(finished.waitFor(() => endsOf('settled').length > told));
  const once = [expect.objectContaining({ number: 1, outcome: 'succeeded' })];
  const again = [
    expect.objectContaining({ number: 1, outcome: 'unknown', code: 'interrupted' }),
    expect.objectContaining({ number: 2, outcome: 'succeeded' }),
  ];
  const expected = [
    ['read', 1, once],
    ['written', 1, again],
    ['sent', 2, again],
    ['streaming', 2, again],
    ['answered', 2, again],
    ['settled', 1, once],
  ] as const;
  for (const [id, sends, attempts] of expected) {
    expect(await endOf(id)).toMatchObject({ job_id: id, status: 'succeeded', attempts });
    expect([id, sendsOf(id)]).toEqual([id, sends]);
  }
  await proxy.stop();
});

it('long calls go on while members join and leave: each is sent once', async () => {
  const calls = Array.from({ length: 20 }, (_, n) => call(`long-${n}`));
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  claude.answerWith(({ prompt }) =>
    prompt.startsWith('long') ? { kind: 'message', after: released } : { kind: 'message' });
  // A guest takes the machine for itself while it boots: the holder's lease has to outlast that.
  const holder = startWorker({ LEASE_MS: '15000' });
  await submit(calls);
  await holder.until(until(() => calls.every(({ call_id: id }) => sendsOf(id) === 1)));
  const guests: ChildProgram[] = [];
  const short = Array.from({ length: 5 }, (_, n) => `short-${n}`);
  for (const id of short) {
    guests.push(startWorker({ MAX_IN_FLIGHT: '5' }));
    await submit([call(id)]);
    await new Promise((resolve) => setTimeout(resolve, churnEveryMs));
    // Two are there at a time, or on their way: a rebalance meets the next one.
    if (guests.length > 2) guests.shift()?.signal('SIGTERM');
  }
  await holder.until(finished.waitFor(() => short.every((id) => endsOf(id).length > 0)));
  for (const id of short) expect([id, sendsOf(id)]).toEqual([id, 1]);
  expect(calls.flatMap(({ call_id: id }) => endsOf(id))).toEqual([]);
  release();
  const long = calls.map(({ call_id: id }) => id);
  await holder.until(finished.waitFor(() => long.every((id) => endsOf(id).length > 0)));
  for (const id of long) {
    expect(await endOf(id)).toMatchObject({ status: 'succeeded', attempts: [{ number: 1 }] });
    expect([id, sendsOf(id)]).toEqual([id, 1]);
  }
});

it('a stop whose commits Kafka holds up has its time for what it must put back', async () => {
  claude.answerWith(() => ({ kind: 'silence', headers: false }));
  // To leave the group would take all of it, and has a quarter; a queue alone would take the rest
  // and more.
  const worker = startWorker({ SHUTDOWN_MS: '8000' });
  broker.proxy.holdCommits();
  await submit([call('left')]);
  await worker.until(until(() => sendsOf('left') === 1));
  worker.signal('SIGTERM');
  await worker.gone();
  broker.proxy.passCommits();
  const left = await around.rows(
    `SELECT state, redispatches FROM worker.calls WHERE call_id = 'left'`,
  );
  expect(left).toEqual([{ state: 'QUEUED', redispatches: 0 }]);
});
