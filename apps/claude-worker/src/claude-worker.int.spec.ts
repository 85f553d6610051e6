import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  claudeDeltaSchema,
  type ClaudeRequested,
  claudeRequestedSchema,
  jobFinishedSchema,
  topics,
} from '@millrace/contracts';
import {
  type FakeAnswer,
  type FakeClaudeServer,
  type FakeRequest,
  type KafkaReader,
  PostgresProxy,
  type ReadMessage,
  sse,
} from '@millrace/testing';
import type pg from 'pg';

import { CallWorker } from './call-worker.ts';
import { cancelRequested, requested, RunningWorkers } from './running-workers.fixture.ts';

/** A worker joins its group, runs and stops in each spec, on a machine that may be busy. */
jest.setTimeout(30_000);

let workers: RunningWorkers;
let claude: FakeClaudeServer;
let finished: KafkaReader;
let deltas: KafkaReader;
let progress: KafkaReader;
let deadLetters: KafkaReader;
let sql: pg.Pool;

beforeAll(async () => {
  workers = await RunningWorkers.prepare();
  ({ claude, sql } = workers);
  [finished, deltas, progress, deadLetters] = await Promise.all([
    workers.reader(topics.jobsFinished.name),
    workers.reader(topics.claudeDeltas.name),
    workers.reader(topics.jobsProgressed.name),
    workers.reader(`${topics.claudeRequested.name}.dlq`),
  ]);
}, 60_000);

afterEach(async () => {
  await workers.stopAll();
  await sql.query(`TRUNCATE worker.calls, worker.attempts, worker.outbox, worker.late_usage,
    worker.sessions, worker.session_turns, worker.processes`);
  claude.answerWith(() => ({ kind: 'message' }));
}, 30_000);

afterAll(async () => {
  await Promise.all([finished, deltas, progress, deadLetters].map((reader) => reader.stop()));
  await workers.close();
}, 30_000);

let jobs = 0;

function job(fields: Partial<Record<keyof ClaudeRequested, unknown>> = {}): ClaudeRequested {
  jobs += 1;
  const id = `job-${jobs}`;
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
    reply: {
      kind: 'job',
      callback: { url: 'http://127.0.0.1/hook' },
      created_at: '2026-11-23T10:00:00.000Z',
    },
    ...fields,
  });
}

async function submit(requests: readonly ClaudeRequested[]): Promise<void> {
  await workers.publisher.publish(requests.map(requested));
}

/** Asks for calls to be cancelled, as ingest does. */
async function cancel(requests: readonly ClaudeRequested[]): Promise<void> {
  await workers.publisher.publish(requests.map(cancelRequested));
}

/** Completions by job, as far as they were looked at: thousands are waited for at once. */
const completions = new Map<string, ReadMessage[]>();
let completionsSeen = 0;

function completionsOf({ call_id: id }: ClaudeRequested): readonly ReadMessage[] {
  for (const message of finished.messages.slice(completionsSeen)) {
    const key = String(message.key);
    completions.set(key, [...(completions.get(key) ?? []), message]);
  }
  completionsSeen = finished.messages.length;
  return completions.get(id) ?? [];
}

/** The job's terminal event, once it is there. */
async function end(request: ClaudeRequested) {
  await finished.waitFor(() => completionsOf(request).length > 0);
  return jobFinishedSchema.parse(JSON.parse(String(completionsOf(request)[0]?.value)));
}

async function run(request: ClaudeRequested) {
  await submit([request]);
  return end(request);
}

function callIdOf({ call_id: id }: ClaudeRequested): string {
  return id;
}

function requestsOf({ call_id: id }: ClaudeRequested): readonly FakeRequest[] {
  return claude.requests.filter(({ prompt }) => prompt === id);
}

/** Answers the first sends of each prompt from this list, and the rest with a message. */
function answerInTurn(answers: readonly FakeAnswer[]): void {
  const counts = new Map<string, number>();
  claude.answerWith(({ prompt }) => {
    const nth = counts.get(prompt) ?? 0;
    counts.set(prompt, nth + 1);
    return answers[nth] ?? { kind: 'message' };
  });
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

function rows(query: string, values: unknown[] = []): Promise<unknown[]> {
  return workers.rows(query, values);
}

describe('a message job', () => {
  it.each([false, true])('is answered, stream: %p', async (stream) => {
    await workers.start();
    const request = job({ stream });
    const result = await run(request);
    expect(result).toMatchObject({
      status: 'succeeded',
      result: `answer to ${request.call_id}`,
      model: 'claude-sonnet-5-5',
      usage: { input_tokens: 11, output_tokens: 7 },
      stand_in: true,
      attempts: [{ number: 1, outcome: 'succeeded', http_status: 200 }],
      callback: { url: 'http://127.0.0.1/hook' },
      created_at: '2026-11-23T10:00:00.000Z',
    });
    expect(result.message).toMatchObject({ stop_reason: 'end_turn' });
    expect(requestsOf(request)[0]?.streamed).toBe(stream);
    expect(requestsOf(request)[0]?.headers['authorization']).toBe('Bearer for-specs-only');
    expect(completionsOf(request)[0]?.headers).toMatchObject({
      ce_id: `default:${request.call_id}:finished`,
      ce_type: 'millrace.job.succeeded.v1',
    });
    expect(await rows('SELECT state, attempt, owner FROM worker.calls')).toEqual([
      { state: 'SETTLED', attempt: 1, owner: null },
    ]);
    await until(async () => (await rows('SELECT FROM worker.outbox')).length === 0);
  });

  it('tells its text as it is written', async () => {
    await workers.start();
    const request = job({ stream: true });
    await run(request);
    const told = () =>
      deltas.messages
        .filter(({ key }) => key?.toString() === `default/${request.call_id}`)
        .map(({ value }) => claudeDeltaSchema.parse(JSON.parse(String(value))));
    await deltas.waitFor(
      () => told().map(({ text }) => text).join('') === `answer to ${request.call_id}`,
    );
    expect(told()[0]).toMatchObject({ attempt: 1, turn: 1, start: 0 });
  });

  it('is paid once though its request comes twice, and told again when it had ended', async () => {
    await workers.start();
    const requests = Array.from({ length: 50 }, () => job());
    await submit([...requests, ...requests]);
    await submit(requests);
    await Promise.all(requests.map((request) => end(request)));
    for (const request of requests) expect(requestsOf(request)).toHaveLength(1);
    const again = requests[0] ?? job();
    const before = completionsOf(again).length;
    await submit([again]);
    await finished.waitFor(() => completionsOf(again).length > before);
    const [first, ...others] = completionsOf(again);
    for (const other of others) {
      expect(other.value).toEqual(first?.value);
      expect(other.headers['ce_id']).toBe(first?.headers['ce_id']);
    }
    expect(requestsOf(again)).toHaveLength(1);
  });

  it('keeps a message that is too large to travel in blobs', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'message', text: 'x'.repeat(300 * 1024) }));
    const result = await run(job());
    expect(result.status).toBe('succeeded');
    expect(result.result).toBeUndefined();
    expect(result.message).toBeUndefined();
    const [row] = await rows("SELECT length(blobs.get('default', $1)) AS bytes", [
      result.message_ref,
    ]);
    expect(row).toMatchObject({ bytes: expect.any(Number) });
  });

  it('is read from blobs when it was too large to come in the event', async () => {
    await workers.start();
    const params = { ...job().params, system: 'y'.repeat(300 * 1024) };
    await sql.query("SELECT blobs.put('default', 'blob_x.params', $1, 60)", [
      Buffer.from(JSON.stringify(params)),
    ]);
    const result = await run(job({ params: undefined, params_ref: 'blob_x.params' }));
    expect(result.status).toBe('succeeded');
    expect(claude.requests.at(-1)?.body['system']).toHaveLength(300 * 1024);
  });

  it('fails alone when the database refuses it', async () => {
    await workers.start();
    const bad = job({ params: { ...job().params, model: 'claude\u0000' } });
    const good = job();
    await submit([bad, good]);
    expect(await end(good)).toMatchObject({ status: 'succeeded' });
    expect(await end(bad)).toMatchObject({ status: 'failed', error: { code: 'bad_row' } });
    await deadLetters.waitFor((letters) =>
      letters.some(({ headers }) => headers['dlq-reason'] === 'bad_row'),
    );
  });

  it('is told to be running after a second, not before', async () => {
    await workers.start();
    claude.answerWith(({ prompt }) => ({
      kind: 'message',
      afterMs: prompt === slow.call_id ? 1_500 : 0,
    }));
    const slow = job();
    const quick = job();
    await submit([slow, quick]);
    await Promise.all([end(slow), end(quick)]);
    const told = () => progress.messages.map(({ key }) => key?.toString());
    await progress.waitFor(() => told().includes(slow.call_id));
    expect(told()).not.toContain(quick.call_id);
  });
});

describe('a cancel', () => {
  const cancelled = { status: 'cancelled', error: { code: 'cancelled' } };
  const slow: FakeAnswer = { kind: 'message', afterMs: 10_000 };

  it('ends a call that waits, which is then never sent', async () => {
    await workers.start({ MAX_IN_FLIGHT: '1' });
    claude.answerWith(({ prompt }) => (prompt === first.call_id ? slow : { kind: 'message' }));
    const first = job();
    const waiting = job();
    await submit([first]);
    await until(() => requestsOf(first).length === 1);
    await submit([waiting]);
    const queued = () => rows("SELECT FROM worker.calls WHERE state = 'QUEUED'");
    await until(async () => (await queued()).length > 0);
    await cancel([waiting]);
    await cancel([waiting]);
    expect(await end(waiting)).toMatchObject({ ...cancelled, attempts: [] });
    await cancel([first]);
    expect(await end(first)).toMatchObject(cancelled);
    expect(requestsOf(waiting)).toHaveLength(0);
  });

  it('stops a call that runs; its attempt may have been paid', async () => {
    await workers.start();
    claude.answerWith(() => slow);
    const request = job();
    await submit([request]);
    await until(() => requestsOf(request).length === 1);
    await cancel([request]);
    expect(await end(request)).toMatchObject({
      ...cancelled,
      attempts: [{ number: 1, outcome: 'unknown', code: 'cancelled' }],
    });
    await until(() => claude.inFlight === 0);
  });

  it('that comes before its request ends it, and nothing is paid', async () => {
    await workers.start();
    const request = job();
    await cancel([request]);
    expect(await end(request)).toMatchObject({
      ...cancelled,
      callback: { url: 'http://127.0.0.1/hook' },
    });
    const told = completionsOf(request).length;
    await submit([request, request]);
    await finished.waitFor(() => completionsOf(request).length > told);
    expect(new Set(completionsOf(request).map(({ value }) => String(value))).size).toBe(1);
    expect(requestsOf(request)).toHaveLength(0);
  });

  it('that comes in a batch with its request, in either order, lets nothing be sent', async () => {
    const lone = Array.from({ length: 20 }, () => job());
    const turns = [1, 2].map((seq) => job({ session_id: 'one-batch', session_seq: seq }));
    const [first = job(), second = job()] = turns;
    const beside = job();
    // All of this lies in the topic when the worker comes: what has one key is read as one batch.
    await submit([...lone, first, beside]);
    await cancel([...lone, first]);
    await submit([...lone, second]);
    await workers.start();
    for (const request of [...lone, first]) {
      expect(await end(request)).toMatchObject({ ...cancelled, attempts: [] });
      expect(requestsOf(request)).toHaveLength(0);
    }
    expect(await end(beside)).toMatchObject({ status: 'succeeded' });
    expect(await end(second)).toMatchObject({ status: 'succeeded' });
    for (const request of lone) {
      expect(new Set(completionsOf(request).map(({ value }) => String(value))).size).toBe(1);
    }
  });

  it('that comes too late has the end told again, whatever it was', async () => {
    await workers.start();
    const request = job();
    expect(await run(request)).toMatchObject({ status: 'succeeded' });
    const told = completionsOf(request).length;
    await cancel([request]);
    await finished.waitFor(() => completionsOf(request).length > told);
    expect(new Set(completionsOf(request).map(({ value }) => String(value))).size).toBe(1);
  });

  it('of a turn waits for the turns before it, and lets the next one go', async () => {
    await workers.start();
    claude.answerWith(({ prompt }) =>
      prompt === turns[0]?.call_id ? { kind: 'message', afterMs: 700 } : { kind: 'message' },
    );
    const turns = [1, 2, 3].map((seq) => job({ session_id: 'cancelled-turn', session_seq: seq }));
    const [first = job(), second = job(), third = job()] = turns;
    await submit(turns);
    await until(() => requestsOf(first).length === 1);
    await cancel([second]);
    expect(await end(third)).toMatchObject({ status: 'succeeded' });
    expect(await end(second)).toMatchObject(cancelled);
    expect(requestsOf(second)).toHaveLength(0);
    const [sent] = requestsOf(third);
    const prompts = JSON.stringify(sent?.body['messages']);
    expect(prompts).toContain(first.call_id);
    expect(prompts).not.toContain(`"${second.call_id}"`);
  });

  it('races with 100 answers: each call has one end, and its row says the same', async () => {
    await workers.start();
    const requests = Array.from({ length: 100 }, () => job());
    claude.answerWith(() => ({ kind: 'message', afterMs: Math.random() * 20 }));
    await Promise.all([submit(requests), cancel(requests)]);
    await cancel(requests);
    const ends = await Promise.all(requests.map((request) => end(request)));
    await until(async () => (await rows('SELECT FROM worker.outbox')).length === 0);
    for (const [i, request] of requests.entries()) {
      expect(new Set(completionsOf(request).map(({ value }) => String(value))).size).toBe(1);
      const [row] = await rows('SELECT completion_type FROM worker.calls WHERE call_id = $1', [
        request.call_id,
      ]);
      expect(row).toEqual({ completion_type: `millrace.job.${ends[i]?.status}.v1` });
      expect(requestsOf(request).length).toBeLessThanOrEqual(1);
    }
  });
});

describe('complete_by', () => {
  const expired = { status: 'expired', error: { code: 'deadline_exceeded' } };
  const slow: FakeAnswer = { kind: 'message', afterMs: 20_000 };
  const soon = (ms: number): string => new Date(Date.now() + ms).toISOString();

  it('ends a call that waits for a slot, which is then never sent', async () => {
    await workers.start({ MAX_IN_FLIGHT: '1' });
    claude.answerWith(() => slow);
    const first = job();
    await submit([first]);
    await until(() => requestsOf(first).length === 1);
    const waiting = job({ complete_by: soon(500) });
    await submit([waiting]);
    expect(await end(waiting)).toMatchObject({ ...expired, attempts: [] });
    expect(requestsOf(waiting)).toHaveLength(0);
    await cancel([first]);
    await end(first);
  });

  it('that has passed before the call comes in lets nothing be sent', async () => {
    await workers.start();
    const late = job({ complete_by: soon(-1) });
    await submit([late, late]);
    expect(await end(late)).toMatchObject({ ...expired, attempts: [] });
    expect(requestsOf(late)).toHaveLength(0);
    const told = completionsOf(late).length;
    await submit([late]);
    await finished.waitFor(() => completionsOf(late).length > told);
    expect(new Set(completionsOf(late).map(({ value }) => String(value))).size).toBe(1);
  });

  it('stops a call that runs; its attempt may have been paid', async () => {
    await workers.start();
    claude.answerWith(() => slow);
    const request = job({ complete_by: soon(2_000) });
    await submit([request]);
    expect(await end(request)).toMatchObject({
      ...expired,
      attempts: [{ number: 1, outcome: 'unknown', code: 'deadline_exceeded' }],
    });
    await until(() => claude.inFlight === 0);
    expect(requestsOf(request)).toHaveLength(1);
  });

  it('ends a call between two attempts, and while the account is parked', async () => {
    await workers.start({ RETRY_BASE_MS: '60000' });
    claude.answerWith(() => ({ kind: 'error', status: 500 }));
    const retried = job({ complete_by: soon(2_000) });
    await submit([retried]);
    expect(await end(retried)).toMatchObject({ ...expired, attempts: [{ outcome: 'failed' }] });
    claude.answerWith(() => ({ kind: 'error', status: 401, type: 'authentication_error' }));
    const parked = [job(), job({ complete_by: soon(2_000) })];
    await submit(parked.slice(0, 1));
    await until(() => requestsOf(parked[0] ?? job()).length === 1);
    await submit(parked.slice(1));
    expect(await end(parked[1] ?? job())).toMatchObject({ ...expired, attempts: [] });
  });

  it('of a turn waits for the turns before it, and lets the next one go', async () => {
    await workers.start();
    claude.answerWith(({ prompt }) =>
      prompt === first.call_id ? { kind: 'message', afterMs: 2_500 } : { kind: 'message' },
    );
    const turn = (seq: number, fields: object = {}): ClaudeRequested =>
      job({ session_id: 'expired-turn', session_seq: seq, ...fields });
    const [first, second, third] = [turn(1), turn(2, { complete_by: soon(100) }), turn(3)];
    await submit([first, second, third]);
    expect(await end(third)).toMatchObject({ status: 'succeeded' });
    const ends = await Promise.all([end(first), end(second)]);
    expect(ends).toMatchObject([{ status: 'succeeded' }, expired]);
    expect(Date.parse(ends[1].finished_at)).toBeGreaterThanOrEqual(
      Date.parse(ends[0].finished_at),
    );
    expect(requestsOf(second)).toHaveLength(0);
  });

  it('comes after a wish to cancel that nobody has heard of yet', async () => {
    await workers.start();
    claude.answerWith(() => slow);
    const request = job({ complete_by: soon(1_500) });
    await submit([request]);
    await until(() => requestsOf(request).length === 1);
    await sql.query('UPDATE worker.calls SET cancel_requested = true');
    expect(await end(request)).toMatchObject({ status: 'cancelled' });
  });

  it('races with answers and cancels: each call has one end, as its row says', async () => {
    await workers.start();
    await Promise.all([workers.start({ MAX_IN_FLIGHT: '5' })]);
    claude.answerWith(() => ({ kind: 'message', afterMs: Math.random() * 3_000 }));
    const requests = Array.from({ length: 90 }, () => job({ complete_by: soon(1_500) }));
    await submit(requests);
    await cancel(requests.filter((_, i) => i % 3 === 0));
    const ends = await Promise.all(requests.map((request) => end(request)));
    await until(async () => (await rows('SELECT FROM worker.outbox')).length === 0);
    for (const [i, request] of requests.entries()) {
      expect(new Set(completionsOf(request).map(({ value }) => String(value))).size).toBe(1);
      const [row] = await rows('SELECT completion_type FROM worker.calls WHERE call_id = $1', [
        request.call_id,
      ]);
      expect(row).toEqual({ completion_type: `millrace.job.${ends[i]?.status}.v1` });
      expect(requestsOf(request).length).toBeLessThanOrEqual(1);
    }
    const outcomes = new Set(ends.map(({ status }) => status));
    expect(outcomes.has('expired')).toBe(true);
  });
});

describe('a call that fails', () => {
  it.each<[string, FakeAnswer, string, string]>([
    ['500', { kind: 'error', status: 500 }, 'failed', 'api_error'],
    [
      '529',
      { kind: 'error', status: 529, type: 'overloaded_error' },
      'failed',
      'overloaded_error',
    ],
    ['408', { kind: 'error', status: 408, type: 'timeout_error' }, 'failed', 'timeout_error'],
    ['409', { kind: 'error', status: 409, type: 'conflict_error' }, 'failed', 'conflict_error'],
    ['a reset connection', { kind: 'reset' }, 'unknown', 'connection_lost'],
    ['a stream cut at its start', { kind: 'cut', events: 1 }, 'unknown', 'answer_truncated'],
    ['a stream without message_stop', { kind: 'cut', events: 6 }, 'unknown', 'answer_truncated'],
    [
      'a stream reset in its middle',
      { kind: 'cut', events: 3, reset: true },
      'unknown',
      'connection_lost',
    ],
    [
      'an error event',
      {
        kind: 'raw',
        body: sse({ type: 'error', error: { type: 'overloaded_error', message: 'busy' } }),
      },
      'unknown',
      'overloaded_error',
    ],
    [
      'malformed data',
      { kind: 'raw', body: 'event: message_start\ndata: {"a\n\n' },
      'unknown',
      'answer_malformed',
    ],
  ])('is tried again after %s', async (_, answer, outcome, code) => {
    await workers.start();
    answerInTurn([answer]);
    const result = await run(job({ stream: true }));
    expect(result.status).toBe('succeeded');
    expect(result.attempts).toMatchObject([
      { number: 1, outcome, code },
      { number: 2, outcome: 'succeeded' },
    ]);
  });

  it.each<[string, FakeAnswer, string]>([
    ['400', { kind: 'error', status: 400, type: 'invalid_request_error' }, 'rejected_by_claude'],
    ['404', { kind: 'error', status: 404, type: 'not_found_error' }, 'rejected_by_claude'],
    ['413', { kind: 'error', status: 413 }, 'rejected_by_claude'],
    [
      'a refusal',
      {
        kind: 'message',
        fields: { stop_reason: 'refusal', stop_details: { type: 'refusal', category: 'cyber' } },
      },
      'refusal',
    ],
    [
      'an unknown stop_reason',
      { kind: 'message', fields: { stop_reason: 'new_reason' } },
      'unknown_stop_reason',
    ],
    [
      'pause_turn',
      { kind: 'message', fields: { stop_reason: 'pause_turn' } },
      'unknown_stop_reason',
    ],
  ])('fails the job at once after %s', async (_, answer, code) => {
    await workers.start();
    claude.answerWith(() => answer);
    const request = job();
    expect(await run(request)).toMatchObject({ status: 'failed', error: { code } });
    expect(requestsOf(request)).toHaveLength(1);
  });

  it('tells of each attempt that is made again, and of the last one by its end', async () => {
    await workers.start();
    answerInTurn([{ kind: 'error', status: 500 }, { kind: 'error', status: 529 }]);
    const request = job();
    const { attempts } = await run(request);
    const told = () => progress.messages.filter(({ key }) => String(key) === request.call_id);
    await progress.waitFor(() => told().length >= 2);
    const { tenant, call_id: job_id, reply } = request;
    expect(attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'succeeded']);
    expect(told().map(({ value }) => JSON.parse(String(value)))).toEqual(
      attempts.slice(0, 2).map((attempt) => ({
        kind: 'attempt',
        tenant,
        job_id,
        created_at: reply.created_at,
        attempt: expect.objectContaining({
          number: attempt.number,
          outcome: 'failed',
          http_status: attempt.http_status,
          request_id: attempt.request_id,
        }),
      })),
    );
    expect(told().map(({ headers }) => headers['ce_id'])).toEqual([
      `default:${job_id}:1:attempted`,
      `default:${job_id}:2:attempted`,
    ]);
  });

  it('fails after five retries, told and kept as a dead letter', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'error', status: 500 }));
    const request = job();
    const result = await run(request);
    expect(result).toMatchObject({ status: 'failed', error: { code: 'retries_exhausted' } });
    expect(result.attempts).toHaveLength(6);
    const gaps = requestsOf(request).map(({ atMs }, i, all) => atMs - (all[i - 1]?.atMs ?? atMs));
    [20, 40, 80, 160, 320].forEach((ms, i) => expect(gaps[i + 1]).toBeGreaterThanOrEqual(ms));
    await deadLetters.waitFor((letters) => letters.some(({ headers }) =>
      headers['ce_id'] === `default:${request.call_id}:requested`));
    const letter = deadLetters.messages.find(
      ({ headers }) => headers['ce_id'] === `default:${request.call_id}:requested`,
    );
    expect(letter?.headers).toMatchObject({
      'dlq-reason': 'retries_exhausted',
      'dlq-service': 'claude-worker',
      'dlq-topic': topics.claudeRequested.name,
      'dlq-attempts': '6',
    });
    expect(claudeRequestedSchema.parse(JSON.parse(String(letter?.value)))).toEqual(request);
  });

  it('waits as long as retry-after says, which is no attempt of anybody', async () => {
    await workers.start();
    answerInTurn([
      { kind: 'error', status: 429, type: 'rate_limit_error', headers: { 'retry-after': '1' } },
    ]);
    const request = job();
    expect(await run(request)).toMatchObject({
      status: 'succeeded',
      attempts: [{ number: 1, outcome: 'succeeded' }],
    });
    const [first, second] = requestsOf(request);
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect(await rows('SELECT failures FROM worker.calls')).toEqual([{ failures: 0 }]);
    expect(await rows('SELECT FROM worker.attempts')).toEqual([]);
  });

  it('waits while the account is refused, and goes on when access returns', async () => {
    const worker = await workers.start();
    let refused = true;
    claude.answerWith(() =>
      refused
        ? { kind: 'error', status: 401, type: 'authentication_error' }
        : { kind: 'message' },
    );
    const requests = Array.from({ length: 20 }, () => job());
    await submit(requests);
    await until(() => worker.get(CallWorker).gate.state.kind === 'parked');
    refused = false;
    const results = await Promise.all(requests.map((request) => end(request)));
    expect(results.map(({ status }) => status)).toEqual(results.map(() => 'succeeded'));
    expect(await rows('SELECT DISTINCT failures FROM worker.calls')).toEqual([{ failures: 0 }]);
  });

  it('uses up no attempts while the server is down', async () => {
    await workers.start();
    let down = true;
    const answered = () => claude.requests.length;
    claude.answerWith(() => (down ? { kind: 'error', status: 503 } : { kind: 'message' }));
    const before = answered();
    const requests = Array.from({ length: 100 }, () => job());
    await submit(requests);
    await until(() => answered() > before + 105);
    down = false;
    const results = await Promise.all(requests.map((request) => end(request)));
    expect(results.map(({ status }) => status)).toEqual(results.map(() => 'succeeded'));
  });
});

const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-5-5',
  usage: { input_tokens: 3, output_tokens: 1 },
};
const streamStart = sse({
  type: 'message_start',
  message: { ...message, content: [], stop_reason: null },
});

describe('a stream that does not go on', () => {
  const short = {
    FIRST_EVENT_TIMEOUT_MS: '200',
    PROGRESS_TIMEOUT_MS: '200',
    TOTAL_TIMEOUT_MS: '800',
  };

  it.each<[string, FakeAnswer, string, number]>([
    ['no headers', { kind: 'silence', headers: false }, 'first_event_timeout', 200],
    ['headers, then silence', { kind: 'silence', headers: true }, 'first_event_timeout', 200],
    ['pings only', { kind: 'pings', everyMs: 20 }, 'first_event_timeout', 200],
    ['no progress', { kind: 'drip', everyMs: 5_000 }, 'progress_timeout', 200],
    ['a drip without end', { kind: 'drip', everyMs: 30 }, 'total_timeout', 800],
    [
      'single bytes of its first event',
      { kind: 'raw', body: streamStart + streamStart, chunkBytes: 1, everyMs: 20 },
      'first_event_timeout',
      200,
    ],
    [
      'single bytes after its first event',
      { kind: 'raw', begin: streamStart, body: streamStart, chunkBytes: 1, everyMs: 20 },
      'progress_timeout',
      200,
    ],
  ])('%s: is ended and tried again', async (_, answer, code, afterMs) => {
    await workers.start(short);
    answerInTurn([answer]);
    const request = job({ stream: true });
    const result = await run(request);
    expect(result.status).toBe('succeeded');
    expect(result.attempts[0]).toMatchObject({ outcome: 'unknown', code });
    const [first, second] = requestsOf(request);
    const tookMs = (second?.atMs ?? 0) - (first?.atMs ?? 0);
    expect(tookMs).toBeGreaterThanOrEqual(afterMs);
    expect(tookMs).toBeLessThan(afterMs + 1_000);
  });

  it('is whole when split UTF-8 and unknown events come in single bytes', async () => {
    await workers.start();
    const text = 'zwölf Boxkämpfer 🥊';
    const body = [
      { type: 'something_new', value: 1 },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } },
      { type: 'message_stop' },
    ];
    const bytes = streamStart + body.map(sse).join('');
    claude.answerWith(() => ({ kind: 'raw', body: bytes, chunkBytes: 1 }));
    expect(await run(job({ stream: true }))).toMatchObject({
      status: 'succeeded',
      result: text,
      usage: { input_tokens: 3, output_tokens: 9 },
    });
  });
});

describe('a stored row that cannot be read', () => {
  const failed = { status: 'failed', error: { code: 'internal' } };

  function broken({ call_id: id }: ClaudeRequested, body: 'params' | 'reply'): Promise<unknown> {
    return sql.query(`UPDATE worker.calls SET ${body} = '{' WHERE call_id = $1`, [id]);
  }

  it('ends its job as failed, while those that are claimed with it run', async () => {
    await workers.start({ MAX_IN_FLIGHT: '4' });
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    claude.answerWith(() => ({ kind: 'message', after: released }));
    const first = Array.from({ length: 4 }, () => job());
    await submit(first);
    await until(() => claude.inFlight === 4);
    const [good, torn, bare, last] = [job(), job(), job(), job()];
    await submit([good, torn, torn, bare, last]);
    const waiting = `SELECT FROM worker.calls WHERE state = 'QUEUED'`;
    await until(async () => (await rows(waiting)).length === 4);
    await Promise.all([broken(torn, 'params'), broken(bare, 'reply')]);
    release();
    expect(await Promise.all([good, last].map(end))).toMatchObject([
      { status: 'succeeded' },
      { status: 'succeeded' },
    ]);
    const [callback, day] = [{ url: 'http://127.0.0.1/hook' }, '2026-11-23T00:00:00.000Z'];
    expect(await end(torn)).toMatchObject({ ...failed, callback, attempts: [] });
    expect(await end(bare)).toMatchObject({ ...failed, created_at: day, attempts: [] });
    expect([...requestsOf(torn), ...requestsOf(bare)]).toEqual([]);
    expect([torn, bare].map((request) => completionsOf(request).length)).toEqual([1, 1]);
  });

  it('ends its job also when its process has died, or its time has passed', async () => {
    await workers.start({ MAX_IN_FLIGHT: '2' });
    claude.answerWith(() => ({ kind: 'silence', headers: false }));
    const [lost, beside] = [job(), job()];
    await submit([lost, beside]);
    await until(() => claude.inFlight === 2);
    const late = job({ complete_by: new Date(Date.now() + 60_000).toISOString() });
    await submit([late]);
    await until(async () => (await rows('SELECT FROM worker.calls')).length === 3);
    await Promise.all([broken(lost, 'params'), broken(late, 'params')]);
    await sql.query('UPDATE worker.calls SET expires_at = now() WHERE call_id = $1', [
      late.call_id,
    ]);
    expect(await end(late)).toMatchObject({ status: 'expired' });
    claude.answerWith(() => ({ kind: 'message' }));
    await workers.start();
    await Promise.all([die(lost), die(beside)]);
    expect(await end(lost)).toMatchObject({ ...failed, attempts: [{ outcome: 'unknown' }] });
    expect(await end(beside)).toMatchObject({ status: 'succeeded' });
  });
});

/** Gives the call to a process that is dead, as after a kill or a lost lease. */
async function die(request: ClaudeRequested): Promise<void> {
  await sql.query(
    `WITH dead AS (
       INSERT INTO worker.processes (id, lease_until) VALUES ($2, now() - interval '1 s')
       RETURNING id)
     UPDATE worker.calls SET owner = dead.id FROM dead WHERE call_id = $1`,
    [request.call_id, `dead-${Math.random()}`],
  );
}

describe('a process that goes away with calls', () => {
  it('has its call sent once more, labelled unknown, and writes only late usage', async () => {
    await workers.start({ MAX_IN_FLIGHT: '1' });
    answerInTurn([{ kind: 'message', afterMs: 4_000, text: 'too late' }]);
    const request = job();
    await submit([request]);
    await until(() => requestsOf(request).length === 1);
    await workers.start();
    await die(request);
    const result = await end(request);
    expect(result).toMatchObject({
      status: 'succeeded',
      result: `answer to ${request.call_id}`,
      attempts: [
        { number: 1, outcome: 'unknown', code: 'interrupted' },
        { number: 2, outcome: 'succeeded' },
      ],
    });
    await until(async () => (await rows('SELECT FROM worker.late_usage')).length === 1);
    expect(await rows('SELECT attempt, usage FROM worker.late_usage')).toEqual([
      { attempt: 1, usage: { input_tokens: 11, output_tokens: 7 } },
    ]);
    expect(completionsOf(request)).toHaveLength(1);
  });

  it('notes what it spent while it could not write, once Postgres is back', async () => {
    const proxy = await PostgresProxy.start(workers.database.url('claude_worker'));
    await workers.start({ DATABASE_URL: proxy.url, LEASE_MS: '1500' });
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    claude.answerWith(() => ({ kind: 'message', after: released }));
    const request = job();
    await submit([request]);
    await until(() => requestsOf(request).length === 1);
    proxy.refuse();
    release();
    await workers.start();
    expect(await end(request)).toMatchObject({
      status: 'succeeded',
      attempts: [{ number: 1, outcome: 'unknown' }, { number: 2, outcome: 'succeeded' }],
    });
    expect(await rows('SELECT FROM worker.late_usage')).toEqual([]);
    proxy.accept();
    await until(async () => (await rows('SELECT FROM worker.late_usage')).length > 0);
    expect(await rows('SELECT call_id, attempt, usage FROM worker.late_usage')).toEqual([
      { call_id: request.call_id, attempt: 1, usage: { input_tokens: 11, output_tokens: 7 } },
    ]);
    expect(completionsOf(request)).toHaveLength(1);
    await workers.stopAll();
    await proxy.stop();
  });

  it('fails the job with outcome_unknown when it may not be sent again', async () => {
    await workers.start({ UNKNOWN_REDISPATCH_MAX: '0' });
    claude.answerWith(() => ({ kind: 'silence', headers: false }));
    const request = job();
    await submit([request]);
    await until(() => requestsOf(request).length === 1);
    await die(request);
    expect(await end(request)).toMatchObject({
      status: 'failed',
      error: { code: 'outcome_unknown' },
      attempts: [{ outcome: 'unknown' }],
    });
    expect(requestsOf(request)).toHaveLength(1);
    expect(await rows('SELECT state FROM worker.calls')).toEqual([{ state: 'UNKNOWN' }]);
  });

  it('puts back what it cannot finish when it is stopped; another process does', async () => {
    const first = await workers.start({ SHUTDOWN_MS: '200' });
    answerInTurn([{ kind: 'silence', headers: true }]);
    const request = job({ stream: true });
    await submit([request]);
    await until(() => requestsOf(request).length === 1);
    await workers.stop(first);
    expect(await rows('SELECT state, redispatches FROM worker.calls')).toEqual([
      { state: 'QUEUED', redispatches: 0 },
    ]);
    await workers.start();
    expect(await end(request)).toMatchObject({ status: 'succeeded' });
  });

  it('has what it settled and did not publish told by another', async () => {
    const request = job();
    await sql.query(
      `INSERT INTO worker.outbox (id, topic, key, headers, value, created_at)
       VALUES ('x', 'jobs.finished.v1', $1, '{"ce_id": "x"}', $2, now() - interval '5 s')`,
      [request.call_id, Buffer.from('{}')],
    );
    await workers.start();
    await finished.waitFor(() => completionsOf(request).length === 1);
  });
});

describe('a session', () => {
  it('runs its turns in order, one at a time, with the history, in two processes', async () => {
    await Promise.all([workers.start(), workers.start()]);
    claude.answerWith(({ prompt }) => ({ kind: 'message', text: `re: ${prompt}`, afterMs: 5 }));
    const turns = Array.from({ length: 8 }, (_, i) =>
      job({ session_id: 'talk', session_seq: i + 1 }),
    );
    const others = Array.from({ length: 30 }, () => job());
    await submit([...turns, ...others]);
    await Promise.all([...turns, ...others].map((request) => end(request)));
    turns.forEach((turn, i) => {
      const sent = requestsOf(turn);
      expect(sent).toHaveLength(1);
      const history = turns.slice(0, i).flatMap(({ call_id: id }) => [
        { role: 'user', content: id },
        { role: 'assistant', content: [{ type: 'text', text: `re: ${id}` }] },
      ]);
      expect(sent[0]?.body['messages']).toEqual([
        ...history,
        { role: 'user', content: turn.call_id },
      ]);
    });
  });

  it('goes on after a turn that failed, as if it had not been', async () => {
    await workers.start();
    const turns = [1, 2].map((seq) => job({ session_id: 'rough', session_seq: seq }));
    const [failing] = turns;
    claude.answerWith(({ prompt }) =>
      prompt === failing?.call_id ? { kind: 'error', status: 400 } : { kind: 'message' },
    );
    await submit(turns);
    const results = await Promise.all(turns.map((turn) => end(turn)));
    expect(results.map(({ status }) => status)).toEqual(['failed', 'succeeded']);
    expect(claude.requests.at(-1)?.body['messages']).toHaveLength(1);
  });
});

describe('a session that nobody used for long', () => {
  const turnsOf = async (session: string): Promise<number> =>
    (await rows('SELECT FROM worker.session_turns WHERE session_id = $1', [session])).length;
  const unused = (session: string, days: number) =>
    sql.query(
      `UPDATE worker.sessions SET used_on = (now() AT TIME ZONE 'UTC')::date - $2::int
       WHERE session_id = $1`,
      [session, days],
    );
  const turn = (session: string, seq: number) =>
    job({ session_id: session, session_seq: seq });

  it('begins anew with its next turn: the history is gone, the numbers go on', async () => {
    const worker = await workers.start({ SESSION_RETENTION_DAYS: '7' });
    const { ledger } = worker.get(CallWorker);
    for (const seq of [1, 2]) {
      await run(turn('old', seq));
      await run(turn('kept', seq));
    }
    await unused('old', 8);
    await unused('kept', 7);
    expect(await ledger.forgetSessions(7)).toEqual({ sessions: 1, more: false });
    expect(await ledger.forgetSessions(7)).toEqual({ sessions: 0, more: false });
    expect([await turnsOf('old'), await turnsOf('kept')]).toEqual([0, 2]);
    const [old, kept, last] = [turn('old', 3), turn('kept', 3), turn('old', 4)];
    await submit([old, old, kept, last]);
    for (const request of [old, kept, last]) {
      expect(await end(request)).toMatchObject({ status: 'succeeded' });
    }
    const sent = [old, kept, last].flatMap((request) => requestsOf(request));
    expect(sent.map(({ body }) => body['messages'])).toMatchObject([
      { length: 1 },
      { length: 5 },
      { length: 3 },
    ]);
    // It counts from its last turn again.
    expect(await ledger.forgetSessions(7)).toEqual({ sessions: 0, more: false });
    await unused('old', 8);
    expect(await ledger.forgetSessions(7)).toEqual({ sessions: 1, more: false });
  });

  it('is deleted when a process starts, whatever the number of sessions', async () => {
    await sql.query(`INSERT INTO worker.sessions (tenant, session_id, last_seq, used_on)
      SELECT 'default', 'many-' || n, 1, '2026-01-02' FROM generate_series(1, 120) AS n`);
    await sql.query(`INSERT INTO worker.session_turns
      SELECT tenant, session_id, 1, '[]' FROM worker.sessions`);
    await workers.start();
    await until(async () => (await rows('SELECT FROM worker.session_turns')).length === 0);
    const counted = 'SELECT FROM worker.sessions WHERE last_seq = 1 AND used_on IS NULL';
    expect(await rows(counted)).toHaveLength(120);
  });

  it('stays while a turn of it waits or runs', async () => {
    const worker = await workers.start();
    const { ledger } = worker.get(CallWorker);
    await run(turn('busy', 1));
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    claude.answerWith(() => ({ kind: 'message', after: released }));
    const [running, ahead] = [turn('busy', 2), turn('waits', 2)];
    await submit([running, ahead]);
    await until(() => claude.inFlight === 1);
    await sql.query(`INSERT INTO worker.sessions VALUES ('default', 'waits', 0)`);
    await unused('busy', 1_000);
    await unused('waits', 1_000);
    expect(await ledger.forgetSessions(90)).toEqual({ sessions: 0, more: false });
    expect(await turnsOf('busy')).toBe(1);
    release();
    expect(await end(running)).toMatchObject({ status: 'succeeded' });
    // What has just been used stays, whatever it was when somebody began to look.
    expect(await ledger.forgetSessions(90)).toEqual({ sessions: 0, more: false });
    expect(await turnsOf('busy')).toBe(2);
    expect(await rows("SELECT FROM worker.sessions WHERE used_on < '2026-01-01'")).toHaveLength(1);
  });
});

describe('a turn whose predecessor has not come', () => {
  const waiting = async ({ call_id: id }: ClaudeRequested): Promise<boolean> => {
    const query = "SELECT FROM worker.calls WHERE call_id = $1 AND state = 'QUEUED'";
    return (await rows(query, [id])).length > 0;
  };

  function talk(session: string, count: number): ClaudeRequested[] {
    return Array.from({ length: count }, (_, i) =>
      job({ session_id: session, session_seq: i + 1 }),
    );
  }

  it('waits for it, however late it is', async () => {
    await workers.start();
    const [first = job(), second = job(), third = job()] = talk('late', 3);
    await submit([third, second]);
    await until(async () => (await waiting(second)) && (await waiting(third)));
    // As if an intake had been without Kafka for an hour between the two.
    await sql.query("UPDATE worker.calls SET created_at = now() - interval '1 hour'");
    // The second attempt of this one comes by a claim, in whose order the turns stand before it.
    const retried = job();
    claude.answerWith(({ prompt }) =>
      prompt === retried.call_id && requestsOf(retried).length === 1
        ? { kind: 'error', status: 500 }
        : { kind: 'message' },
    );
    expect(await run(retried)).toMatchObject({ status: 'succeeded' });
    expect(requestsOf(second)).toEqual([]);
    await submit([first]);
    await Promise.all([first, second, third].map((turn) => end(turn)));
    const sent = [first, second, third].flatMap((turn) => requestsOf(turn));
    expect(sent.map(({ prompt }) => prompt)).toEqual([first, second, third].map(callIdOf));
    expect(sent.map(({ body }) => body['messages'])).toMatchObject([
      { length: 1 },
      { length: 3 },
      { length: 5 },
    ]);
  });

  it('ends unsent after a day, and the session goes on; the late one still runs', async () => {
    await workers.start();
    const [first = job(), second = job(), third = job()] = talk('never', 3);
    await submit([second]);
    await until(() => waiting(second));
    await sql.query("UPDATE worker.calls SET created_at = now() - interval '25 hours'");
    expect(await end(second)).toMatchObject({
      status: 'failed',
      error: { code: 'deadline_exceeded' },
      attempts: [],
    });
    expect(await run(third)).toMatchObject({ status: 'succeeded' });
    expect(await run(first)).toMatchObject({ status: 'succeeded' });
    expect(requestsOf(second)).toEqual([]);
  });

  it('does not wait for one that the database refused: that ends in its turn', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'message', afterMs: 200 }));
    const bad = { params: { ...job().params, model: 'claude\u0000' } };
    const [first = job(), second = job(), third = job()] = talk('refused', 3);
    const refused = { ...second, ...bad };
    await submit([refused, third]);
    await submit([first]);
    expect(await end(third)).toMatchObject({ status: 'succeeded' });
    const failed = await end(refused);
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'bad_row' }, attempts: [] });
    expect(failed.finished_at >= (await end(first)).finished_at).toBe(true);
    await submit([refused]);
    await finished.waitFor(() => completionsOf(refused).length > 1);
    expect(new Set(completionsOf(refused).map(({ value }) => String(value))).size).toBe(1);
  });
});

describe('a thousand calls', () => {
  it('are in flight at once', async () => {
    const worker = await workers.start({ LEASE_MS: '20000' });
    // So long that a busy machine can send a thousand before the first is answered.
    claude.answerWith(() => ({ kind: 'message', afterMs: 4_000 }));
    const requests = Array.from({ length: 1_200 }, () => job());
    const before = finished.messages.length;
    await submit(requests);
    await finished.waitFor(before + requests.length);
    expect(claude.inFlightMax).toBe(1_000);
    expect(await rows('SELECT FROM worker.attempts')).toEqual([]);
    await until(() => worker.get(CallWorker).queue.inFlight === 0);
  });
});
