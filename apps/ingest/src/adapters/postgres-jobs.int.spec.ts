import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { defaultTenant, IdentityPayloadCodec, jobDayOf, jobIdSchema } from '@millrace/contracts';
import { createPool, type Pool, TenantDatabase } from '@millrace/postgres';
import { changedMeanwhile, createTestDatabase, type TestDatabase } from '@millrace/testing';

import { judgeSubmission } from '../core/judge-submission.ts';
import { newJob } from '../core/new-job.ts';
import type { JobPlace } from '../ports.ts';
import { PostgresJobs } from './postgres-jobs.ts';

jest.setTimeout(60_000);

const codec = new IdentityPayloadCodec();

let database: TestDatabase;
let pool: Pool;
let jobs: PostgresJobs;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('ingest'), max: 4, applicationName: 'spec' });
  const bodies = {
    keep: () => Promise.resolve(),
    read: () => Promise.resolve(null),
    purge: () => Promise.resolve(0),
  };
  jobs = new PostgresJobs({ pool, own: new TenantDatabase(pool), codec, bodies });
});

afterAll(async () => {
  await jobs?.close();
  await pool?.end();
  await database?.drop();
});

async function kept(name: string): Promise<JobPlace> {
  const rules = { defaultModel: 'm', checkUrl: () => ({ ok: true }) as const };
  const judged = judgeSubmission({ type: 'message', prompt: 'p' }, rules);
  if (!judged.ok) throw new TypeError('refused');
  const { order } = judged;
  const createdAt = new Date();
  const arrival = { source: 'kafka', idempotencyKey: null, traceparent: '00-1-2-01' } as const;
  const id = jobIdSchema.parse(name);
  const job = newJob(
    { ...arrival, tenant: defaultTenant, createdAt },
    { id, order, carrier: { kind: 'inline', params: order.params } },
  );
  await jobs.insertRecorded([job]);
  return { tenant: defaultTenant, id, day: jobDayOf(createdAt.toISOString()) };
}

it('ends jobs of which the first is shown as running while it waits for it', async () => {
  const places = [await kept('job-1'), await kept('job-2')];
  const finishedAt = new Date().toISOString();
  const end = { status: 'succeeded', finishedAt, outcomeJson: '{}', answerJson: null } as const;
  const results = await changedMeanwhile({
    url: database.adminUrl,
    change: `UPDATE ingest.jobs SET status = 'running' WHERE id = 'job-1'`,
    work: () => jobs.finish(places.map((place) => ({ ...place, ...end }))),
  });
  expect(results.map((result) => result.status === 'fulfilled' && result.value)).toEqual([
    'ended',
    'ended',
  ]);
});

it('shows jobs as running of which the first changes while it waits for it', async () => {
  const places = [await kept('job-3'), await kept('job-4')];
  await changedMeanwhile({
    url: database.adminUrl,
    change: `UPDATE ingest.jobs SET status_version = 1 WHERE id = 'job-3'`,
    work: () => jobs.start(places),
  });
  const { rows } = await pool.query(
    `SELECT id, status FROM ingest.jobs WHERE id IN ('job-3', 'job-4') ORDER BY id`,
  );
  expect(rows).toEqual([
    { id: 'job-3', status: 'running' },
    { id: 'job-4', status: 'running' },
  ]);
});
