import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { deliveryStatuses, endpointIdSchema, deliveryIdSchema } from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import { createTestDatabase, lookupsOf, type TestDatabase } from '@millrace/testing';

import type { DeliveryCursor, DeliveryQuery } from '../core/delivery-query.ts';
import { listQueries } from './postgres-tenant-deliveries.ts';

jest.setTimeout(60_000);

const count = 200;
const tenant = 'default';
const endpoints = ['1', '2'].map((n) => endpointIdSchema.parse(`ep_${n.padStart(26, '0')}`));
const anything: DeliveryQuery = {
  endpoint: null,
  status: null,
  jobId: null,
  since: null,
  until: null,
  after: null,
  limit: 10,
};

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 1, applicationName: 'spec' });
  await pool.query(
    `INSERT INTO dispatcher.deliveries (id, day, tenant, url, origin, body, state, owner, ended_at,
       endpoint, event_type, created_at)
     SELECT 'msg_' || n, '2026-11-30', CASE WHEN n % 10 = 0 THEN 'other' ELSE $1 END, 'http://x/',
       'x', '', state, CASE WHEN state = 'sending' THEN 'me' END,
       CASE WHEN state NOT IN ('waiting', 'sending') THEN now() END,
       ($2::text[])[1 + n % 3], 'millrace.job.succeeded.v1',
       '2026-11-30T10:00:00Z'::timestamptz + (n / 3) * interval '1 us'
     FROM generate_series(1, $3::int) AS n,
       LATERAL (SELECT ($4::text[])[1 + floor(random() * $5 + n * 0)::int] AS state) AS chance`,
    [tenant, endpoints, count, deliveryStatuses, deliveryStatuses.length],
  );
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

type Filter = Pick<DeliveryQuery, 'endpoint' | 'status'>;

interface Row {
  readonly id: string;
  readonly created_at_micros: string;
}

/** Ids of all pages, one after the other. */
async function walked(filter: Filter, o: { limit: number; lookedAt: number }): Promise<string[]> {
  const ids: string[] = [];
  let after: DeliveryCursor | null = null;
  for (let pages = 0; pages <= count; pages += 1) {
    const query: DeliveryQuery = { ...anything, ...filter, after, limit: o.limit };
    const { page, place } = listQueries(tenant, query, o.lookedAt);
    const { rows } = await pool.query<Row>(page);
    const shown = rows.slice(0, o.limit);
    ids.push(...shown.map(({ id }) => id));
    const looked = place === null ? [] : (await pool.query<Row>(place)).rows;
    const last = rows.length > o.limit ? shown.at(-1) : looked[0];
    if (last === undefined) return ids;
    const { created_at_micros: createdAtMicros, id } = last;
    after = { createdAtMicros, id: deliveryIdSchema.parse(id) };
  }
  throw new Error('the list has no end');
}

async function trulyThere({ endpoint, status }: Filter): Promise<string[]> {
  const { rows } = await pool.query<Row>(
    `SELECT id FROM dispatcher.deliveries WHERE tenant = $1 AND state = coalesce($2, state)
       AND ($3::text IS NULL OR endpoint = $3) ORDER BY created_at DESC, id DESC`,
    [tenant, status, endpoint],
  );
  return rows.map(({ id }) => id);
}

const filters = [null, ...deliveryStatuses].flatMap((status) =>
  [null, ...endpoints].map((endpoint) => ({ status, endpoint })),
);

describe('the list of deliveries', () => {
  it.each(filters)('of $status to $endpoint has each of them once', async (filter) => {
    const expected = await trulyThere(filter);
    expect(await walked(filter, { limit: 7, lookedAt: 1_000 })).toEqual(expected);
    expect(await walked(filter, { limit: 100, lookedAt: 13 })).toEqual(expected);
  });

  it.each([
    ['dead', 'tenant_created_at_id_idx1'],
    ['skipped_disabled', 'tenant_created_at_id_idx1'],
    ['delivered', 'tenant_created_at_id_idx'],
  ] as const)('of %s reads no more of them than it must', async (status, index) => {
    const [endpoint = null] = endpoints;
    const { page, place } = listQueries(tenant, { ...anything, status, endpoint });
    for (const { text } of place === null ? [page] : [page, place]) {
      const lookups = await lookupsOf(pool, text, 'deliveries');
      expect(lookups.length).toBeGreaterThan(1);
      for (const lookup of lookups) expect(lookup.index).toBe(`${lookup.table}_${index}`);
    }
  });
});
