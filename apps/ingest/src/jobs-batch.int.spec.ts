import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  jobBatchAnswerSchema,
  jobBatchMax,
  topics,
  type JobBatchResult,
} from '@millrace/contracts';
import type { KafkaReader } from '@millrace/testing';

import { RunningIngest, type Answer } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

let ingest: RunningIngest;
let requested: KafkaReader;

beforeAll(async () => {
  ingest = await RunningIngest.start();
  requested = await ingest.reader(topics.claudeRequested);
});

afterAll(async () => {
  await requested?.stop();
  await ingest?.stop();
});

function submit(jobs: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return ingest.call('POST', '/v1/jobs:batch', { body: { jobs }, headers });
}

/** The results of a batch that was taken. */
async function batch(jobs: unknown[], headers = {}): Promise<JobBatchResult[]> {
  const answer = await submit(jobs, headers);
  expect(answer.status).toBe(200);
  return jobBatchAnswerSchema.parse(answer.body).results;
}

const statusesOf = (results: JobBatchResult[]) => results.map(({ status }) => status);
const jobsOf = (results: JobBatchResult[]) =>
  results.flatMap((result) => ('job' in result ? [result.job] : []));
const idsOf = (results: JobBatchResult[]) => jobsOf(results).map(({ id }) => id);
const replaysIn = (results: JobBatchResult[]) =>
  results.filter((result) => 'replayed' in result).length;
const requestsOf = (prefix: string) =>
  requested.messages.filter(({ headers }) => headers['ce_subject']?.startsWith(prefix));

describe('POST /v1/jobs:batch', () => {
  it('answers for each job in order, and one that is bad fails no other', async () => {
    const results = await batch([
      { job_id: 'mixed-1', prompt: 'a' },
      { prompt: 'a', surprise: true },
      'no job at all',
      { job_id: 'mixed-2', params: { messages: [{ role: 'user', content: 'b' }] } },
      { prompt: 'c', callback_url: 'http://10.0.0.1/hook' },
      { params: { messages: [{ role: 'user', content: 'd' }], max_tokens: 0.5 } },
    ]);
    expect(statusesOf(results)).toEqual([202, 400, 400, 202, 422, 422]);
    expect(results.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    const [first, unknownField, , , callback] = results;
    expect(first).toMatchObject({ job: { id: 'mixed-1', status: 'queued' } });
    expect(unknownField).toMatchObject({ error: { code: 'invalid_request' } });
    expect(callback).toMatchObject({
      error: { code: 'unsafe_callback_url', errors: [{ path: 'callback_url' }] },
    });
    await requested.waitFor(() => requestsOf('mixed-').length === 2);
  });

  it('gives every job the trace of its request', async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const results = await batch([{ job_id: 'traced-1', prompt: 'a' }, { prompt: 'b' }], {
      traceparent: `00-${trace}-b7ad6b7169203331-01`,
    });
    expect(jobsOf(results).map(({ trace_id }) => trace_id)).toEqual([trace, trace]);
    await requested.waitFor(() => requestsOf('traced-1').length === 1);
    expect(requestsOf('traced-1')[0]?.headers['traceparent']).toContain(trace);
  });

  it('makes one job of a job_id that stands twice, and a conflict of another body', async () => {
    const job = { job_id: 'twice', prompt: 'a' };
    const results = await batch([job, job, { ...job, prompt: 'b' }]);
    expect(statusesOf(results)).toEqual([202, 202, 409]);
    expect(replaysIn(results)).toBe(1);
    const { rows } = await ingest.admin.query(
      `SELECT count(*)::int AS n FROM ingest.jobs WHERE id = 'twice'`,
    );
    expect(rows[0].n).toBe(1);
  });

  it('replays a whole batch by its key, without a second request of any job', async () => {
    const jobs = Array.from({ length: 5 }, (_, n) => ({ prompt: `replay ${n}` }));
    const headers = { 'idempotency-key': 'night-1' };
    const first = await batch(jobs, headers);
    const again = await batch(jobs, headers);
    expect(idsOf(again)).toEqual(idsOf(first));
    expect(new Set(idsOf(first)).size).toBe(5);
    expect([replaysIn(first), replaysIn(again)]).toEqual([0, 5]);
    const changed = await batch([{ prompt: 'other' }, ...jobs.slice(1)], headers);
    expect(statusesOf(changed)).toEqual([409, 202, 202, 202, 202]);
    await requested.waitFor(() => requestsOf(idsOf(first)[0] ?? '').length > 0);
    for (const id of idsOf(first)) expect(requestsOf(id).length).toBeLessThanOrEqual(1);
  });

  it('takes 1,000 jobs, all durable when it answers', async () => {
    const jobs = Array.from({ length: jobBatchMax }, (_, n) => ({
      job_id: `many-${n}`,
      prompt: 'x',
    }));
    const beganAt = performance.now();
    const results = await batch(jobs);
    // Far above what it takes: commits one after the other would not make it.
    expect(performance.now() - beganAt).toBeLessThan(15_000);
    expect(new Set(statusesOf(results))).toEqual(new Set([202]));
    const { rows } = await ingest.admin.query(
      `SELECT count(*)::int AS n FROM ingest.jobs WHERE id LIKE 'many-%'`,
    );
    expect(rows[0].n).toBe(jobBatchMax);
    await requested.waitFor(() => requestsOf('many-').length === jobBatchMax);
  });

  it.each([
    ['too many', Array.from({ length: jobBatchMax + 1 }, () => ({ prompt: 'x' }))],
    ['none', []],
    ['no list', { prompt: 'x' }],
  ])('refuses %s as a whole', async (_, jobs) => {
    const answer = await submit(jobs);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  });

  it('refuses a key that is too long with the suffix, before a job is taken', async () => {
    const jobs = [{ job_id: 'long-key', prompt: 'x' }];
    const answer = await submit(jobs, { 'idempotency-key': 'k'.repeat(254) });
    expect([answer.status, answer.body.errors[0].path]).toEqual([400, 'Idempotency-Key']);
    expect((await ingest.call('GET', '/v1/jobs/long-key')).status).toBe(404);
  });

  it('refuses a body above the limit', async () => {
    const answer = await submit([{ prompt: 'x'.repeat(11 * 1024 * 1024) }]);
    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large']);
  });

  it('takes no other method, and no job of the name `batch` stands behind it', async () => {
    expect((await ingest.call('GET', '/v1/jobs:batch')).status).toBe(405);
    expect((await ingest.call('POST', '/v1/jobs-batch', { body: {} })).status).toBe(404);
  });
});
