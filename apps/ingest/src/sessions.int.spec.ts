import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { sessionIdSchema, sessionJobsMax, sessionViewSchema } from '@millrace/contracts';

import { listQueries } from './adapters/list-jobs.ts';
import { RunningIngest } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

let ingest: RunningIngest;

beforeAll(async () => {
  ingest = await RunningIngest.start();
});
afterAll(() => ingest.stop());

const session = (id: string, asOther = false) =>
  ingest.call('GET', `/v1/sessions/${id}`, { asOther });

async function submit(body: Readonly<Record<string, unknown>>): Promise<void> {
  const { status } = await ingest.call('POST', '/v1/jobs', { body: { prompt: 'p', ...body } });
  expect(status).toBe(202);
}

it('shows how many turns a session has had, and its newest jobs', async () => {
  for (let n = 1; n <= sessionJobsMax + 2; n += 1) {
    await submit({ job_id: `turn-${n}`, session_id: 'chat' });
  }
  await submit({ job_id: 'elsewhere', session_id: 'chat-2' });
  const { body, status } = await session('chat');
  expect(status).toBe(200);
  const { id, jobs, turns } = sessionViewSchema.parse(body);
  expect({ id, turns }).toEqual({ id: 'chat', turns: sessionJobsMax + 2 });
  const newest = Array.from({ length: sessionJobsMax }, (_, n) => `turn-${sessionJobsMax + 2 - n}`);
  expect(jobs.map((job) => job.id)).toEqual(newest);
});

it('shows a session whose only turn is still ahead', async () => {
  const run_at = new Date(Date.now() + 3_600_000).toISOString();
  await submit({ job_id: 'ahead', session_id: 'later', run_at });
  expect((await session('later')).body).toMatchObject({ turns: 0, jobs: [{ id: 'ahead' }] });
});

it.each([
  ['that is not there', 'none', false],
  ['of another tenant', 'chat', true],
  ['whose id is none', 'a%20b', false],
])('knows no session %s', async (_, id, asOther) => {
  const { body, status } = await session(id, asOther);
  expect([status, body.code]).toEqual([404, 'not_found']);
});

it('lists the jobs of a session by an index of them, whatever plan is kept', async () => {
  const query = { session_id: sessionIdSchema.parse('chat'), limit: 20 };
  const { text } = listQueries('default', query).page;
  const { rows } = await ingest.admin.query<{ 'QUERY PLAN': string }>(
    `EXPLAIN (GENERIC_PLAN, COSTS OFF) ${text}`,
  );
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  expect(plan).toMatch(/Index Cond: \(\(tenant = \$1\) AND \(session_id = \$2\)\)/);
});
