import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  defaultTenant,
  IdentityPayloadCodec,
  jobIdSchema,
  type JobId,
  type OutgoingMessage,
} from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { announcementOf } from '../announcement.ts';
import { judgeSubmission } from '../core/judge-submission.ts';
import { newJob, type NewJob } from '../core/new-job.ts';
import { republishTimesMax } from '../core/silence.ts';
import type { LargeBodies, StandingJobRow } from '../ports.ts';
import { PostgresJobs } from './postgres-jobs.ts';
import { PostgresSilentJobs } from './postgres-silent-jobs.ts';

jest.setTimeout(60_000);

const codec = new IdentityPayloadCodec();
const minuteMs = 60_000;
const times = { silentMs: 10 * minuteMs, republishMsMax: 60 * minuteMs, lookEveryMs: minuteMs };

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let jobs: PostgresJobs;
let silent: PostgresSilentJobs;

const bodies: LargeBodies = {
  keep: () => Promise.resolve(),
  read: () => Promise.resolve(null),
  purge: () => Promise.resolve(0),
};

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  pool = createPool({ url: database.url('ingest'), max: 4, applicationName: 'spec' });
  jobs = new PostgresJobs({ pool, own: new TenantDatabase(pool), codec, bodies });
  silent = new PostgresSilentJobs({ pool, codec, times });
});

beforeEach(async () => {
  await admin.query('TRUNCATE ingest.jobs, ingest.job_keys, ingest.releases, ingest.silent_jobs');
  await looked('1 hour');
  await rested();
});

afterAll(async () => {
  await jobs?.close();
  await Promise.all([pool?.end(), admin?.end()]);
  await database?.drop();
});

/** The jobs were looked through until so long ago. */
const looked = (ago: string) =>
  admin.query('UPDATE ingest.silence SET looked_until = now() - $1::interval', [ago]);
/** Nothing was published again in the last second. */
const rested = () =>
  admin.query(`UPDATE ingest.silence SET republished_at = now() - interval '1 minute'`);
const entries = async (): Promise<{ id: string; times: number; minutes: number }[]> => {
  const { rows } = await admin.query<{ id: string; times: number; minutes: number }>(
    `SELECT id, times, round(extract(epoch FROM next_at - now()) / 60)::int AS minutes
     FROM ingest.silent_jobs ORDER BY id`,
  );
  return rows;
};
const ids = (rows: readonly { id: string }[]): string[] => rows.map(({ id }) => id);

let made = 0;

function jobOf(agoMs: number, times: { run_at?: string } = {}): NewJob {
  made += 1;
  const id: JobId = jobIdSchema.parse(`job-${String(made).padStart(6, '0')}`);
  const rules = { defaultModel: 'm', checkUrl: () => ({ ok: true }) as const };
  const judged = judgeSubmission({ type: 'message', prompt: 'p', ...times }, rules);
  if (!judged.ok) throw new TypeError('refused');
  const { order } = judged;
  const arrival = {
    tenant: defaultTenant,
    source: 'kafka',
    idempotencyKey: null,
    traceparent: '00-1-2-01',
    createdAt: new Date(Date.now() - agoMs),
  } as const;
  return newJob(arrival, { id, order, carrier: { kind: 'inline', params: order.params } });
}

async function keep(given: readonly NewJob[]): Promise<string[]> {
  for (const result of await jobs.insertRecorded(given)) expect(result.status).toBe('fulfilled');
  return ids(given);
}

const announce = (job: StandingJobRow): OutgoingMessage =>
  announcementOf(job, job.seq, { codec, context: ROOT_CONTEXT });

async function end(id: string | undefined): Promise<void> {
  await admin.query(
    `UPDATE ingest.jobs SET status = 'succeeded', finished_at = now() WHERE id = $1`,
    [id],
  );
}

describe('the look for silent jobs', () => {
  it('finds each job once, when it has become old and has not ended', async () => {
    const [old, ended] = await keep([jobOf(20 * minuteMs), jobOf(21 * minuteMs)]);
    const later = new Date(Date.now() + minuteMs).toISOString();
    const waiting = jobOf(20 * minuteMs, { run_at: later });
    await keep([jobOf(9 * minuteMs), jobOf(70 * minuteMs), waiting]);
    await end(ended);
    expect(await silent.note()).toBe(1);
    expect(await entries()).toMatchObject([{ id: old, times: 0 }]);
    expect(await silent.note()).toBe(0);
  });

  it('goes through days that nobody looked at, in steps', async () => {
    const dayMs = 24 * 60 * minuteMs;
    const old = await keep([3, 2, 1, 0.5].map((days) => jobOf(days * dayMs)));
    await looked('4 days');
    expect(await silent.note()).toBe(4);
    expect(ids(await entries())).toEqual(old);
  });
});

describe('requests of silent jobs', () => {
  it('are published again 100 at a time, a second apart, later each time', async () => {
    const all = await keep(Array.from({ length: 130 }, (_, i) => jobOf(20 * minuteMs + i)));
    expect(await silent.note()).toBe(130);
    expect(await silent.nextDueInMs()).toBeLessThanOrEqual(0);
    const first = await silent.republishDue(100, announce);
    expect(first.messages).toHaveLength(100);
    expect((await silent.republishDue(100, announce)).messages).toHaveLength(0);
    await rested();
    const second = await silent.republishDue(100, announce);
    expect(second.messages).toHaveLength(30);
    const keys = [...first.messages, ...second.messages].map(({ key }) => key);
    expect(new Set(keys)).toEqual(new Set(all.map((id) => `default/${id}`)));
    expect(new Set((await entries()).map(({ minutes }) => minutes))).toEqual(new Set([20]));
    const { rowCount } = await admin.query('SELECT FROM ingest.outbox');
    expect(rowCount).toBe(130);
  });

  it('are published beside one that cannot be read, which comes again later', async () => {
    const [torn, open] = await keep([1, 2].map((n) => jobOf((20 + n) * minuteMs)));
    await silent.note();
    await admin.query(`UPDATE ingest.jobs SET session_id = '' WHERE id = $1`, [torn]);
    const { messages, unreadable } = await silent.republishDue(100, announce);
    expect(messages.map(({ key }) => key)).toEqual([`default/${open}`]);
    expect(unreadable).toEqual([{ tenant: 'default', id: torn }]);
    expect(await entries()).toEqual([torn, open].map((id) => ({ id, times: 1, minutes: 20 })));
  });

  it('are forgotten with their jobs’ ends, and given up after a week', async () => {
    const [open, ended, lost] = await keep([1, 2, 3].map((n) => jobOf((20 + n) * minuteMs)));
    await silent.note();
    await end(ended);
    const many = 'UPDATE ingest.silent_jobs SET times = $1 WHERE id = $2';
    await admin.query(many, [republishTimesMax, lost]);
    await admin.query(many, [republishTimesMax - 1, open]);
    const { givenUp, messages } = await silent.republishDue(100, announce);
    expect(messages.map(({ key }) => key)).toEqual([`default/${open}`]);
    expect(givenUp).toEqual([{ tenant: 'default', id: lost }]);
    expect(await entries()).toEqual([{ id: open, times: republishTimesMax, minutes: 60 }]);
  });
});
