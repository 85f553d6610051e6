import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  defaultTenant,
  IdentityPayloadCodec,
  redeliveriesPerTenantMax,
  tenantIdSchema,
  topics,
  type OutgoingMessage,
  type TenantId,
} from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { orderRedelivery } from '../core/redelivery.ts';
import type { EndedJobRow, RedeliveryStart } from '../ports.ts';
import { PostgresRedeliveries, type RedeliveryLimits } from './postgres-redeliveries.ts';

jest.setTimeout(60_000);

const codec = new IdentityPayloadCodec();
const other = tenantIdSchema.parse('other');
const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let api: Pool;

/** One process of the fleet; it waits for nobody unless it is told to. */
function replica(limits: Partial<RedeliveryLimits> = {}): PostgresRedeliveries {
  const own = new TenantDatabase(api);
  return new PostgresRedeliveries({ pool, own, codec, limits: { stepEveryMs: 0, ...limits } });
}

beforeAll(async () => {
  database = await createTestDatabase();
  const options = { max: 4, applicationName: 'spec' };
  admin = createPool({ ...options, url: database.adminUrl });
  pool = createPool({ ...options, url: database.url('ingest') });
  api = createPool({ ...options, url: database.url('ingest_api'), pipeline: true });
});

beforeEach(async () => {
  await admin.query(
    'TRUNCATE ingest.jobs, ingest.job_events, ingest.redeliveries, ingest.outbox',
  );
});

afterAll(async () => {
  await Promise.all([pool?.end(), api?.end(), admin?.end()]);
  await database?.drop();
});

/** Jobs accepted and ended so many ms ago; `null` of one that has not ended. */
async function keep(
  jobs: readonly { id: string; acceptedMs: number; endedMs: number | null; answer?: string }[],
  tenant: TenantId = defaultTenant,
): Promise<void> {
  await admin.query(
    `INSERT INTO ingest.jobs (tenant, id, day, type, status, lane, source, request_hash, refused,
       first_event, traceparent, created_at, finished_at, outcome, answer)
     SELECT $1, id, (created_at AT TIME ZONE 'UTC')::date, 'message',
       CASE WHEN finished_at IS NULL THEN 'queued' ELSE 'succeeded' END, 'standard', 'http', '',
       false, '{}', '00-1-2-01', created_at, finished_at, '{}', answer
     FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::bytea[])
       AS input(id, created_at, finished_at, answer)`,
    [
      tenant,
      jobs.map(({ id }) => id),
      jobs.map(({ acceptedMs }) => new Date(Date.now() - acceptedMs).toISOString()),
      jobs.map(({ endedMs }) =>
        endedMs === null ? null : new Date(Date.now() - endedMs).toISOString(),
      ),
      jobs.map(({ answer }) => Buffer.from(answer ?? '{}')),
    ],
  );
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    id: `job-${String(index).padStart(4, '0')}`,
    // Some were accepted in the same millisecond.
    acceptedMs: 30 * minuteMs - Math.floor(index / 3),
    endedMs: 10 * minuteMs,
  }));

let asked = 0;

function start(
  sinceMs: number,
  o: { untilMs?: number; tenant?: TenantId; id?: string } = {},
): Promise<RedeliveryStart> {
  const now = new Date();
  const ago = (ms: number) => new Date(now.getTime() - ms).toISOString();
  const until = o.untilMs === undefined ? undefined : ago(o.untilMs);
  const order = orderRedelivery({ since: ago(sinceMs), until }, now);
  asked += 1;
  const id = o.id ?? `rdl_${asked}`;
  return replica().start({ tenant: o.tenant ?? defaultTenant, id, order, createdAt: now });
}

const tell = (job: EndedJobRow): OutgoingMessage => ({
  topic: topics.jobsFinished.name,
  key: job.id,
  headers: { ce_id: `${job.tenant}:${job.id}:finished` },
  value: Buffer.from(job.answerJson ?? ''),
});

const sent = async (): Promise<string[]> => {
  const { rows } = await admin.query<{ id: string }>('SELECT id FROM ingest.outbox ORDER BY id');
  return rows.map(({ id }) => id.split(':')[1] ?? '');
};
const row = async () => {
  const { rows } = await admin.query('SELECT * FROM ingest.redeliveries');
  return rows[0];
};

/** Steps until no redelivery runs. @returns what each told, in order. */
async function walk(processes: readonly PostgresRedeliveries[]): Promise<string[][]> {
  const steps: string[][] = [];
  while (await replica().isAnyRunning()) {
    const taken = await Promise.all(processes.map((process) => process.step(tell)));
    for (const step of taken) {
      if (step !== null) steps.push(step.messages.map(({ key }) => key ?? ''));
    }
  }
  return steps;
}

describe('a walk', () => {
  it('tells what ended within its time, whenever it was accepted, and nothing else', async () => {
    await keep([
      { id: 'within', acceptedMs: 30 * minuteMs, endedMs: 20 * minuteMs },
      { id: 'late', acceptedMs: 25 * dayMs, endedMs: 50 * minuteMs },
      { id: 'long-before', acceptedMs: 40 * dayMs, endedMs: 59 * minuteMs },
      { id: 'ended-before', acceptedMs: 70 * minuteMs, endedMs: 61 * minuteMs },
      { id: 'ended-after', acceptedMs: 30 * minuteMs, endedMs: 9 * minuteMs },
      { id: 'runs', acceptedMs: 30 * minuteMs, endedMs: null },
    ]);
    await keep([{ id: 'theirs', acceptedMs: 30 * minuteMs, endedMs: 20 * minuteMs }], other);
    await start(60 * minuteMs, { untilMs: 10 * minuteMs });
    await walk([replica()]);
    expect(await sent()).toEqual(['late', 'long-before', 'within']);
    expect(await row()).toMatchObject({ state: 'done', published: 3 });
  });

  it('leaves out what has become too old since it was asked for', async () => {
    await keep([
      { id: 'old', acceptedMs: 29.6 * dayMs, endedMs: 29.6 * dayMs },
      { id: 'known', acceptedMs: 29.4 * dayMs, endedMs: 29.4 * dayMs },
    ]);
    await start(28 * dayMs);
    await admin.query(`UPDATE ingest.redeliveries SET since = now() - interval '30 days',
      after_created_at = now() - interval '30 days'`);
    await walk([replica()]);
    expect(await sent()).toEqual(['known']);
  });

  it('is gone by two processes at once, and tells each end once', async () => {
    const jobs = numbered(250);
    await keep(jobs);
    await start(60 * minuteMs);
    const limits = { endsMax: 40, lookedMax: 70 };
    const steps = await walk([replica(limits), replica(limits), replica(limits)]);
    expect(steps.flat().sort()).toEqual(jobs.map(({ id }) => id));
    expect(Math.max(...steps.map(({ length }) => length))).toBe(40);
    expect(await sent()).toHaveLength(250);
    expect(await row()).toMatchObject({ state: 'done', published: 250 });
  });

  it('that is cut off in a step goes on where the one before had come', async () => {
    const jobs = numbered(30);
    await keep(jobs);
    await start(60 * minuteMs);
    const limits = { endsMax: 10 };
    const first = await replica(limits).step(tell);
    const before = await row();
    const killed = replica(limits).step((job) => {
      if (job.id === 'job-0015') throw new Error('killed');
      return tell(job);
    });
    await expect(killed).rejects.toThrow('killed');
    expect(await row()).toEqual(before);
    expect(await sent()).toEqual(first?.messages.map(({ key }) => key));
    await walk([replica(limits)]);
    expect(await sent()).toEqual(jobs.map(({ id }) => id));
    expect(await row()).toMatchObject({ state: 'done', published: 30 });
  });

  it('passes over a row that tells no end, and says so', async () => {
    await keep(numbered(3));
    await start(60 * minuteMs);
    const step = await replica().step((job) => (job.id === 'job-0001' ? null : tell(job)));
    expect(step).toMatchObject({ untold: ['job-0001'], view: { published: 2 } });
    await walk([replica()]);
    expect(await sent()).toEqual(['job-0000', 'job-0002']);
  });

  it('reads no more bodies in a step than it may, and a larger one alone', async () => {
    const jobs = numbered(5);
    await keep(jobs.map((job) => ({ ...job, answer: `"${'x'.repeat(1_000)}"` })));
    await start(60 * minuteMs);
    const steps = await walk([replica({ bytesMax: 2_500 })]);
    expect(steps.map(({ length }) => length)).toEqual([2, 2, 1, 0]);
    await start(59 * minuteMs);
    await admin.query('TRUNCATE ingest.outbox');
    const single = await walk([replica({ bytesMax: 10 })]);
    expect(single.map(({ length }) => length)).toEqual([1, 1, 1, 1, 1, 0]);
  });

  it('takes a step a second of the whole fleet, the tenants in turn', async () => {
    await keep(numbered(3));
    await keep(numbered(3), other);
    await start(60 * minuteMs);
    await start(60 * minuteMs, { tenant: other });
    const limits = { endsMax: 1 };
    const turns = [];
    for (let n = 0; n < 4; n += 1) turns.push((await replica(limits).step(tell))?.tenant);
    expect(turns).toEqual(['default', 'other', 'default', 'other']);
    const patient = { stepEveryMs: 60_000 };
    expect(await replica(patient).step(tell)).toBeNull();
    await admin.query(
      `UPDATE ingest.redelivery_pace SET stepped_at = now() - interval '2 minutes'`,
    );
    const taken = await Promise.all([1, 2, 3].map(() => replica(patient).step(tell)));
    expect(taken.filter((step) => step !== null)).toHaveLength(1);
  });

  it('waits while Kafka does not take what was told', async () => {
    await keep(numbered(20));
    await start(60 * minuteMs);
    const limits = { endsMax: 10, unsentMax: 10 };
    expect((await replica(limits).step(tell))?.messages).toHaveLength(10);
    expect(await replica(limits).step(tell)).toBeNull();
    await admin.query('TRUNCATE ingest.outbox');
    expect((await replica(limits).step(tell))?.messages).toHaveLength(10);
  });
});

describe('a redelivery', () => {
  it('is the same when the same is asked for, and one of a tenant runs at a time', async () => {
    const now = new Date();
    const of = (since: Date, id: string) => {
      const order = orderRedelivery({ since: since.toISOString() }, now);
      return replica().start({ tenant: defaultTenant, id, order, createdAt: now });
    };
    const hourAgo = new Date(now.getTime() - 60 * minuteMs);
    const earlier = new Date(now.getTime() - 90 * minuteMs);
    const both = await Promise.all([of(hourAgo, 'rdl_a'), of(hourAgo, 'rdl_b')]);
    expect(both.map(({ kind }) => kind).sort()).toEqual(['standing', 'started']);
    const { id } = await row();
    expect(await of(hourAgo, 'rdl_c')).toMatchObject({ kind: 'standing', view: { id } });
    expect(await of(earlier, 'rdl_d')).toEqual({ kind: 'busy', id });
    expect(await of(earlier, id)).toEqual({ kind: 'conflict' });
    expect(await start(60 * minuteMs, { tenant: other })).toMatchObject({ kind: 'started' });
    await walk([replica()]);
    expect(await of(hourAgo, id)).toMatchObject({ kind: 'standing', view: { state: 'done' } });
    expect(await of(earlier, 'rdl_d')).toMatchObject({ kind: 'started' });
  });

  it('is its tenant’s alone', async () => {
    await start(60 * minuteMs, { id: 'rdl_mine' });
    const query = { limit: 10 };
    expect(await replica().find(other, 'rdl_mine')).toBeNull();
    expect(await replica().list(other, query)).toEqual([]);
    expect(await replica().list(defaultTenant, query)).toMatchObject([{ id: 'rdl_mine' }]);
    await expect(api.query('SELECT FROM ingest.redeliveries')).resolves.toMatchObject({
      rowCount: 0,
    });
  });

  it('is listed a page at a time, newest first', async () => {
    for (const id of ['rdl_1', 'rdl_2', 'rdl_3']) {
      await start(60 * minuteMs, { id });
      await walk([replica()]);
    }
    const first = await replica().list(defaultTenant, { limit: 2 });
    expect(first.map(({ id }) => id)).toEqual(['rdl_3', 'rdl_2', 'rdl_1']);
    const last = first[1];
    if (last === undefined) throw new TypeError('no second one');
    const cursor = { createdAtMs: Date.parse(last.created_at), id: last.id };
    const second = await replica().list(defaultTenant, { limit: 2, cursor });
    expect(second.map(({ id }) => id)).toEqual(['rdl_1']);
  });

  it('is forgotten 30 days after its end, and so many are kept of a tenant', async () => {
    await admin.query(
      `INSERT INTO ingest.redeliveries (tenant, id, state, since, until, request_hash,
         after_created_at, created_at, finished_at)
       SELECT 'default', 'old_' || n, 'done', now() - interval '50 days',
         now() - interval '40 days', '', now(), now() - interval '40 days',
         now() - interval '31 days'
       FROM generate_series(1, $1) AS n`,
      [redeliveriesPerTenantMax],
    );
    expect(await start(60 * minuteMs)).toEqual({ kind: 'limit' });
    await replica().forgetOld();
    expect(await start(60 * minuteMs)).toMatchObject({ kind: 'started' });
    await replica().forgetOld();
    expect(await row()).toMatchObject({ state: 'running' });
  });
});
