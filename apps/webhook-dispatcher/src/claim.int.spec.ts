import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createPool, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { z } from 'zod';

import { claimSql } from './adapters/claim-sql.ts';
import { PostgresDeliveries } from './adapters/postgres-deliveries.ts';
import { PostgresLaneUpkeep } from './adapters/postgres-lane-upkeep.ts';
import type { NewDelivery } from './core/delivery.ts';
import { defaultTerms } from './core/lane-slots.ts';
import type { Attempt } from './core/outcome.ts';
import { codec } from './dispatcher-world.fixture.ts';
import type { ClaimOptions } from './ports.ts';

jest.setTimeout(60_000);

let database: TestDatabase;
let pool: Pool;
let admin: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'spec' });
  pool = createPool({
    url: database.url('webhook_dispatcher'),
    max: 12,
    applicationName: 'webhook-dispatcher',
  });
});

afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await database?.drop();
});

afterEach(async () => {
  // Rows that were only deleted could be counted by Postgres as a large table with nothing in it,
  // for which it would plan to read everything.
  await admin.query(
    'TRUNCATE dispatcher.deliveries, dispatcher.delivery_attempts, dispatcher.lanes',
  );
});

const anybody: ClaimOptions = {
  owner: 'spec',
  limit: 100,
  busy: [],
  crowded: [],
  tenantMax: 1_000,
};

function waiting(id: string, origin: string, tenant = 't'): NewDelivery {
  return {
    id,
    webhookId: id,
    day: new Date().toISOString().slice(0, 'YYYY-MM-DD'.length),
    tenant,
    endpoint: null,
    eventType: 'millrace.job.succeeded.v1',
    jobId: id,
    url: `${origin}/hook`,
    origin,
    body: Buffer.from('{}'),
    traceHeaders: {},
    attemptsMade: 0,
    createdAtMs: Date.now(),
    source: { topic: 'jobs.finished.v1', partition: 0, offset: '0' },
    owner: null,
    firstAfterMs: 0,
    terms: defaultTerms,
    record: { key: id, headers: {}, value: null },
  };
}

/** Lanes with something that waits, all of them closed, or due in an hour. */
async function addDeadLanes(count: number, columns: string): Promise<void> {
  await pool.query(
    `INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, state)
     SELECT 'dead-' || n || '-' || i, current_date, 't', 'j', 'u', 'https://dead-' || n, '{}',
       'waiting'
     FROM generate_series(1, $1::int) AS n, generate_series(1, 3) AS i`,
    [count],
  );
  await pool.query(
    `INSERT INTO dispatcher.lanes (tenant, origin, due_at, closed_until, closed_why)
     SELECT 't', 'https://dead-' || n, now() - interval '1 hour', ${columns}
     FROM generate_series(1, $1::int) AS n`,
    [count],
  );
}

const planSchema: z.ZodType<PlanNode> = z.lazy(() =>
  z.looseObject({
    'Relation Name': z.string().optional(),
    'Actual Rows': z.number(),
    'Actual Loops': z.number(),
    'Rows Removed by Filter': z.number().optional(),
    Plans: z.array(planSchema).optional(),
  }),
);

interface PlanNode {
  readonly 'Relation Name'?: string | undefined;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number | undefined;
  readonly Plans?: readonly PlanNode[] | undefined;
}

/** Rows of a table, or of its partitions, that were looked at. */
function rowsRead(plan: PlanNode, table: string): number {
  const name = plan['Relation Name'];
  const isOurs = name !== undefined && name.startsWith(table) && !name.includes('attempts');
  const own = (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'];
  const below = (plan.Plans ?? []).reduce((sum, node) => sum + rowsRead(node, table), 0);
  return (isOurs ? own : 0) + below;
}

async function planOfClaim(): Promise<PlanNode> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const { rows } = await client.query<{ 'QUERY PLAN': unknown }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${claimSql}`,
      ['spec', 100, [], [], [], [], [], 1_000],
    );
    await client.query('ROLLBACK');
    const [first] = z.array(z.object({ Plan: planSchema })).parse(rows[0]?.['QUERY PLAN']);
    if (first === undefined) throw new Error('no plan');
    return first.Plan;
  } finally {
    client.release();
  }
}

describe('a claim', () => {
  it.each([
    ['whose breakers are open', `now() + interval '10 minutes', 'breaker'`],
    ['that are paused', `'infinity', 'paused'`],
  ])('reads nothing of ten thousand lanes %s', async (_, columns) => {
    await addDeadLanes(10_000, columns);
    const deliveries = new PostgresDeliveries(pool, codec);
    await deliveries.insert([waiting('msg_live', 'https://live.example')]);
    const plan = await planOfClaim();
    // The one lane and its one delivery, each by several parts of the statement.
    expect(rowsRead(plan, 'lanes')).toBeLessThan(20);
    expect(rowsRead(plan, 'deliveries')).toBeLessThan(20);
    const { rows } = await deliveries.claim(anybody);
    expect(rows.map(({ id }) => id)).toEqual(['msg_live']);
    const { nextDueInMs } = await deliveries.claim(anybody);
    const opensInMs = columns.startsWith('now') ? expect.closeTo(600_000, -5) : null;
    expect(nextDueInMs).toEqual(opensInMs);
    await deliveries.close();
  });

  it("gives another tenant its turn beside thousands of one tenant's lanes", async () => {
    await addDeadLanes(2_000, 'NULL, NULL');
    const deliveries = new PostgresDeliveries(pool, codec);
    await deliveries.insert([waiting('msg_other', 'https://other.example', 'z')]);
    const { rows } = await deliveries.claim(anybody);
    expect(rows).toHaveLength(100);
    expect(rows.map(({ id }) => id)).toContain('msg_other');
    await deliveries.close();
  });

  it('gives every lane its first before any its second, in turn', async () => {
    const deliveries = new PostgresDeliveries(pool, codec);
    const lanes = Array.from({ length: 6 }, (_, i) => `https://lane-${i}.example`);
    await deliveries.insert(
      lanes.flatMap((origin, i) => [1, 2, 3].map((n) => waiting(`msg_${i}_${n}`, origin))),
    );
    const seen: string[][] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      const { rows } = await deliveries.claim({ ...anybody, limit: 3 });
      seen.push(rows.map(({ origin }) => origin));
    }
    const [first = [], second = []] = seen;
    expect([...first, ...second].sort()).toEqual(lanes);
    expect(seen.flat().sort()).toEqual(lanes.flatMap((origin) => [origin, origin, origin]));
    await deliveries.close();
  });

  it('passes over a tenant that has no room, and gives another no more than it has', async () => {
    const deliveries = new PostgresDeliveries(pool, codec);
    const origins = Array.from({ length: 9 }, (_, i) => `https://lane-${i}.example`);
    await deliveries.insert(
      ['full', 'some', 'free'].flatMap((tenant) =>
        origins.map((origin, i) => waiting(`msg_${tenant}_${i}`, origin, tenant)),
      ),
    );
    const { rows } = await deliveries.claim({
      ...anybody,
      crowded: [
        { tenant: 'full', room: 0 },
        { tenant: 'some', room: 2 },
      ],
      tenantMax: 5,
    });
    const count = (tenant: string) => rows.filter((row) => row.tenant === tenant).length;
    expect(['full', 'some', 'free'].map(count)).toEqual([0, 2, 5]);
    await deliveries.close();
  });
});

describe('a claim that is slow between its look at a lane and its lock', () => {
  const slowSql = claimSql.replace(
    'FROM found ORDER BY place',
    'FROM found CROSS JOIN (SELECT pg_sleep(0.5)) AS slow ORDER BY place',
  );
  const origin = 'https://lane.example';

  async function isAsleep(): Promise<boolean> {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
    );
    return rowCount === 1;
  }

  it('leaves the lane due for what was inserted meanwhile', async () => {
    expect(slowSql).not.toBe(claimSql);
    const deliveries = new PostgresDeliveries(pool, codec);
    await deliveries.insert([waiting('msg_seen', origin)]);
    const claim = pool.query<{ id: string }>(slowSql, ['spec', 100, [], [], [], [], [], 1_000]);
    while (!(await isAsleep())) await sleep(5);
    await deliveries.insert([waiting('msg_unseen', origin)]);
    expect((await claim).rows.map(({ id }) => id)).toEqual(['msg_seen']);
    const next = await deliveries.claim(anybody);
    expect(next.rows.map(({ id }) => id)).toEqual(['msg_unseen']);
    await deliveries.close();
  });
});

const attempt: Attempt = {
  class: 'server_error',
  status: 500,
  bodyExcerpt: null,
  timings: { totalMs: 1 },
};

it('no lane forgets what waits in it, whoever works on it at once', async () => {
  const endsAtMs = Date.now() + 2_000;
  const stores = Array.from({ length: 4 }, () => new PostgresDeliveries(pool, codec));
  const origins = Array.from({ length: 5 }, (_, i) => `https://lane-${i}.example`);
  let made = 0;
  const work = async (deliveries: PostgresDeliveries, owner: string): Promise<void> => {
    while (Date.now() < endsAtMs) {
      const fresh = origins
        .filter(() => Math.random() < 0.4)
        .map((origin) => waiting(`msg_${made++}`, origin));
      const inserting = deliveries.insert(fresh);
      const { rows } = await deliveries.claim({ ...anybody, owner, limit: 4 });
      await Promise.all(
        rows.map(async (delivery) => {
          const dice = Math.random();
          if (dice < 0.1) return;
          const outcome =
            dice < 0.5
              ? ({ kind: 'retry', afterMs: Math.random() * 40, attempt } as const)
              : ({ kind: 'delivered', disables: false, attempt } as const);
          await deliveries.settle({ delivery, outcome, lane: null, notice: null });
        }),
      );
      if (Math.random() < 0.2) await deliveries.reap([owner]);
      await inserting;
    }
  };
  await Promise.all(stores.map((deliveries, i) => work(deliveries, `owner-${i}`)));
  const [store] = stores;
  if (store === undefined) throw new Error('nobody worked');
  await store.reap(stores.map((_, i) => `owner-${i}`));
  const { rows } = await pool.query(
    `SELECT w.origin, w.due_at, l.due_at AS lane_due_at
     FROM (SELECT tenant, origin, min(not_before) AS due_at FROM dispatcher.deliveries
       WHERE state = 'waiting' GROUP BY tenant, origin) AS w
     LEFT JOIN dispatcher.lanes AS l USING (tenant, origin)
     WHERE l.due_at IS NULL OR l.due_at > greatest(w.due_at, now())`,
  );
  expect(rows).toEqual([]);
  expect(await new PostgresLaneUpkeep(pool).wakeForgotten()).toBe(0);

  // So that a claim by one process alone ends all of them.
  for (let left = 1; left > 0; ) {
    const { rows: given } = await store.claim(anybody);
    await Promise.all(
      given.map((delivery) => {
        const outcome = { kind: 'delivered', disables: false, attempt } as const;
        return store.settle({ delivery, outcome, lane: null, notice: null });
      }),
    );
    const { rows: counted } = await pool.query<{ left: number }>(
      `SELECT count(*)::int AS left FROM dispatcher.deliveries WHERE state <> 'delivered'`,
    );
    left = counted[0]?.left ?? 0;
    if (given.length === 0) await sleep(10);
  }
  await Promise.all(stores.map((deliveries) => deliveries.close()));
});
