import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { jobStatuses, jobTypes, type JobStatus, type JobType } from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { createTestDatabase, lookupsOf, type TestDatabase } from '@millrace/testing';

import type { ListCursor, ListQuery } from '../core/list-cursor.ts';
import { listJobs, listQueries } from './list-jobs.ts';

jest.setTimeout(60_000);

const count = 300;
const tenant = 'default';
const createdFrom = Date.parse('2026-11-30T10:00:00.000Z');

let database: TestDatabase;
let pool: Pool;
let apiPool: Pool;
let own: TenantDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('ingest'), max: 1, applicationName: 'spec' });
  apiPool = createPool({
    url: database.url('ingest_api'),
    max: 1,
    applicationName: 'spec',
    pipeline: true,
  });
  own = new TenantDatabase(apiPool);
  await pool.query(
    `INSERT INTO ingest.jobs (tenant, id, day, type, source, status, lane, request_hash,
       first_event, traceparent, created_at, refused)
     SELECT CASE WHEN n % 10 = 0 THEN 'other' ELSE $1 END, 'job-' || n, '2026-11-30',
       ($2::text[])[1 + n % $3], 'http', 'queued', 'standard', '', '', '',
       to_timestamp($4::float8 / 1000) + (n / 3) * interval '1 ms', false
     FROM generate_series(1, $5::int) AS n`,
    [tenant, jobTypes, jobTypes.length, createdFrom, count],
  );
  // Each goes through some of them; where one stays is chance, and looked up afterwards.
  for (let round = 0; round < 4; round += 1) {
    await pool.query(
      `UPDATE ingest.jobs SET status = ($1::text[])[1 + floor(random() * $2)::int]
       WHERE random() < 0.6`,
      [jobStatuses, jobStatuses.length],
    );
  }
});

afterAll(async () => {
  await Promise.all([pool?.end(), apiPool?.end()]);
  await database?.drop();
});

type Filter = Pick<ListQuery, 'status' | 'type'>;

/** Ids of all pages, one after the other. */
async function walked(filter: Filter, o: { limit: number; lookedAt: number }): Promise<string[]> {
  const ids: string[] = [];
  let cursor: ListCursor | undefined;
  for (let pages = 0; pages <= count; pages += 1) {
    const query = { ...filter, ...o, cursor };
    const { lookedUntil, rows } = await listJobs(own, tenant, query);
    const page = rows.slice(0, o.limit);
    ids.push(...page.map(({ id }) => id));
    const last = rows.length > o.limit ? page.at(-1) : undefined;
    const next = last && { createdAtMs: last.created_at.getTime(), id: last.id };
    cursor = next ?? lookedUntil ?? undefined;
    if (cursor === undefined) return ids;
  }
  throw new Error('the list has no end');
}

async function trulyThere({ status, type }: Filter): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT id FROM ingest.jobs WHERE tenant = $1 AND status = coalesce($2, status)
       AND type = coalesce($3, type) ORDER BY created_at DESC, id DESC`,
    [tenant, status ?? null, type ?? null],
  );
  return rows.map(({ id }) => id);
}

const statuses: readonly (JobStatus | undefined)[] = [undefined, ...jobStatuses];
const types: readonly (JobType | undefined)[] = [undefined, ...jobTypes];
const filters = statuses.flatMap((status) => types.map((type) => ({ status, type })));

describe('the list of jobs', () => {
  it.each(filters)('of status $status and type $type has each of them once', async (filter) => {
    const expected = await trulyThere(filter);
    expect(await walked(filter, { limit: 7, lookedAt: 1_000 })).toEqual(expected);
    expect(await walked(filter, { limit: 100, lookedAt: 13 })).toEqual(expected);
  });

  it('says where it stopped looking', async () => {
    await pool.query(`UPDATE ingest.jobs SET status = 'succeeded' WHERE status = 'running'`);
    const query = { status: 'running', limit: 5 } as const;
    expect((await listJobs(own, tenant, { ...query, lookedAt: 20 })).lookedUntil).not.toBeNull();
    expect(await listJobs(own, tenant, query)).toEqual({ rows: [], lookedUntil: null });
  });
});

describe('the plan of a list, whenever it was made', () => {
  it.each([
    [{}, 'jobs', 'tenant_created_at_id_idx'],
    [{ status: 'running' }, 'jobs', 'tenant_created_at_id_idx'],
    [{ status: 'failed' }, 'jobs', 'pkey'],
    [{ status: 'failed', type: 'agent' }, 'jobs', 'pkey'],
    [{ type: 'agent' }, 'jobs', 'tenant_type_created_at_id_idx'],
    [{ type: 'document', status: 'queued' }, 'jobs', 'tenant_type_created_at_id_idx'],
  ] as const)('of %j reads no more jobs than it must', async (filter, table, index) => {
    const { page, place } = listQueries(tenant, { ...filter, limit: 20 });
    for (const { text } of place === null ? [page] : [page, place]) {
      const lookups = await lookupsOf(pool, text, table);
      expect(lookups.length).toBeGreaterThan(1);
      for (const lookup of lookups) {
        expect(lookup.index).toBe(`${lookup.table}_${index}`);
        if (index === 'pkey') expect(lookup.condition).toContain('(id = ');
      }
      const plan = await pool.query(`EXPLAIN (GENERIC_PLAN) ${text}`);
      expect(JSON.stringify(plan.rows)).not.toContain('Sort  (');
    }
  });
});
