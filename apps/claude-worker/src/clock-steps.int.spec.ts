import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import {
  type ClaudeRequested,
  claudeRequestedSchema,
  jobFinishedSchema,
  jobProgressedSchema,
  topics,
} from '@millrace/contracts';
import { ChildProgram, type KafkaReader } from '@millrace/testing';

import { requested, RunningWorkers } from './running-workers.fixture.ts';

jest.setTimeout(90_000);

const hourMs = 3_600_000;
const steppedEveryMs = 100;
/** How much later than its `complete_by` a call may end: a heartbeat or two of a busy machine. */
const lateMsMax = 10_000;
/** A database's and this process's time are read one after the other. */
const toleranceMs = 1_000;

let around: RunningWorkers;
let finished: KafkaReader;
let progressed: KafkaReader;
const workers: ChildProgram[] = [];

beforeAll(async () => {
  around = await RunningWorkers.prepare();
  finished = await around.reader(topics.jobsFinished.name);
  progressed = await around.reader(topics.jobsProgressed.name);
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.kill()));
});
afterAll(async () => {
  await finished?.stop();
  await progressed?.stop();
  await around?.close();
});

function startWorker(
  offsetsMs: readonly number[],
  settings: { readonly LEASE_MS: string } = { LEASE_MS: '8000' },
): ChildProgram {
  const file = join(import.meta.dirname, 'worker-process.fixture.ts');
  const env = { ...around.environment(), HTTP_PORT: '0', LOG_LEVEL: 'error', ...settings };
  const worker = ChildProgram.start(file, [around.kafka.prefix, offsetsMs.join(',')], env);
  workers.push(worker);
  return worker;
}

function call(id: string, completeInMs: number): ClaudeRequested {
  return claudeRequestedSchema.parse({
    tenant: 'default',
    call_id: id,
    lane: 'standard',
    stream: false,
    params: { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: id }] },
    complete_by: new Date(Date.now() + completeInMs).toISOString(),
    reply: { kind: 'job', created_at: '2026-11-23T10:00:00.000Z' },
  });
}

const sendsOf = (id: string) => around.claude.requests.filter(({ prompt }) => prompt === id);
const isEnded = (id: string) => finished.messages.some(({ key }) => String(key) === id);
const endOf = (id: string) => {
  const message = finished.messages.find(({ key }) => String(key) === id);
  return jobFinishedSchema.parse(JSON.parse(String(message?.value)));
};

/** When a call was told to be running. */
const runningAtMs = (id: string) => {
  const told = progressed.messages.map(({ value }) =>
    jobProgressedSchema.parse(JSON.parse(String(value))));
  const running = told.find((event) => event.kind === 'running' && event.job_id === id);
  return running?.kind === 'running' ? Date.parse(running.at) : undefined;
};

it('clocks that are set while calls wait and run change nothing of their ends', async () => {
  const { claude, publisher } = around;
  const ids = (name: string, count: number): string[] =>
    Array.from({ length: count }, (_, n) => `${name}-${n}`);
  const [retried, slow, late] = [ids('retried', 20), ids('slow', 10), ids('late', 10)];
  claude.answerWith(({ prompt }) => {
    if (prompt.startsWith('late')) return { kind: 'silence', headers: false };
    if (prompt.startsWith('slow')) return { kind: 'message', afterMs: 5_000 };
    const isFirst = sendsOf(prompt).length === 1;
    return isFirst ? { kind: 'error', status: 409 } : { kind: 'message' };
  });
  const beganAtMs = Date.now();
  startWorker([hourMs, -hourMs, 0]);
  startWorker([-hourMs, 5 * hourMs]);
  await publisher.publish(ids('first', 20).map((id) => requested(call(id, hourMs / 2))));
  // Both have booted and hear the signal, as both have rows of their own.
  await finished.waitFor(() => ids('first', 20).every(isEnded));
  for (let both = false; !both; ) {
    both = (await around.rows('SELECT FROM worker.processes')).length === workers.length;
  }
  const stepping = setInterval(
    () => workers.forEach((worker) => worker.signal('SIGUSR2')),
    steppedEveryMs,
  );
  try {
    await publisher.publish([
      ...[...retried, ...slow].map((id) => requested(call(id, hourMs / 2))),
      ...late.map((id) => requested(call(id, 3_000))),
    ]);
    await finished.waitFor(() => [...retried, ...slow, ...late].every(isEnded));
  } finally {
    clearInterval(stepping);
  }
  for (const id of retried) {
    expect(endOf(id)).toMatchObject({ status: 'succeeded', attempts: [{}, {}] });
    expect(sendsOf(id)).toHaveLength(2);
  }
  for (const id of slow) {
    expect(endOf(id)).toMatchObject({ status: 'succeeded', attempts: [{ number: 1 }] });
    expect(sendsOf(id)).toHaveLength(1);
  }
  for (const id of late) expect(endOf(id)).toMatchObject({ status: 'expired' });
  for (const id of [...retried, ...slow, ...late]) {
    const endedAtMs = Date.parse(endOf(id).finished_at);
    expect(endedAtMs).toBeGreaterThan(beganAtMs);
    expect(endedAtMs).toBeLessThan(Date.now() + 1_000);
    for (const { started_at, ended_at } of endOf(id).attempts) {
      expect(Date.parse(ended_at)).toBeGreaterThanOrEqual(Date.parse(started_at));
    }
  }
  const [sent] = sendsOf(late[0] ?? '');
  const lateEndMs = Date.parse(endOf(late[0] ?? '').finished_at);
  expect(lateEndMs - (sent?.atMs ?? NaN)).toBeLessThan(3_000 + lateMsMax);
  // No lease was taken for lost: nobody came back as another owner.
  expect(await around.rows('SELECT FROM worker.processes')).toHaveLength(workers.length);
});

it('by wrong clocks what runs, was left by a dead process or is refused has its time', async () => {
  const { claude, publisher } = around;
  const [left, refused] = ['left', 'refused'];
  claude.answerWith(({ prompt }) => {
    // Postgres takes no such code: the run's own end cannot be written.
    if (prompt === refused) return { kind: 'error', status: 400, errorCode: 'a\u0000' };
    return sendsOf(left).length === 1 ? { kind: 'silence', headers: false } : { kind: 'message' };
  });
  const beganAtMs = Date.now();
  const doomed = startWorker([-3 * hourMs], { LEASE_MS: '4000' });
  await publisher.publish([requested(call(left, 24 * hourMs))]);
  await doomed.until(progressed.waitFor(() => runningAtMs(left) !== undefined));
  await doomed.kill();
  const heir = startWorker([3 * hourMs]);
  await publisher.publish([requested(call(refused, 24 * hourMs))]);
  await heir.until(finished.waitFor(() => [left, refused].every(isEnded)));
  expect(endOf(left).attempts).toMatchObject([{ code: 'interrupted' }, { outcome: 'succeeded' }]);
  expect(endOf(refused)).toMatchObject({ status: 'failed', error: { code: 'bad_row' } });
  const attempts = [left, refused].flatMap((id) => endOf(id).attempts);
  const times = attempts.flatMap((each) => [each.started_at, each.ended_at]).map(Date.parse);
  for (const atMs of [...times, runningAtMs(left), Date.parse(endOf(refused).finished_at)]) {
    expect(atMs).toBeGreaterThanOrEqual(beganAtMs - toleranceMs);
    expect(atMs).toBeLessThan(Date.now() + toleranceMs);
  }
});
