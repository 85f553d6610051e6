import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, PostgresProxy, type TestDatabase } from '@millrace/testing';

import { createPool, inTransaction, type Pool } from './index.ts';

jest.setTimeout(60_000);

let database: TestDatabase;
let proxy: PostgresProxy;
let pool: Pool;
let admin: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await PostgresProxy.start(database.url('ingest'));
  pool = createPool({ url: proxy.url, max: 1, applicationName: 'pool-spec' });
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'pool-spec-admin' });
});

afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await proxy?.stop();
  await database?.drop();
});

describe('a transaction', () => {
  it('lets its locks go after one limit, when Postgres is silent', async () => {
    const lock = { text: 'SELECT pg_advisory_xact_lock(7)', query_timeout: 200 };
    const held = proxy.hold('pg_advisory_xact_lock', 'during');
    const beganAtMs = performance.now();
    const lost = inTransaction(pool, (client) => client.query(lock));
    await expect(lost).rejects.toThrow('Query read timeout');
    await held;
    // A lock that is not free is waited for.
    await admin.query('SELECT pg_advisory_xact_lock(7)');
    // A statement of a pool has 20 s.
    expect(performance.now() - beganAtMs).toBeLessThan(15_000);
    await expect(inTransaction(pool, (client) => client.query('SELECT'))).resolves.toBeDefined();
  });

  it('rolls back what it did before it failed, and keeps its connection', async () => {
    const pidText = 'SELECT pg_backend_pid() AS pid';
    const before = await pool.query(pidText);
    const failed = inTransaction(pool, async (client) => {
      await client.query('SELECT pg_advisory_xact_lock(8)');
      await client.query('SELECT 1 / 0');
    });
    await expect(failed).rejects.toThrow('division by zero');
    const { rows } = await admin.query('SELECT pg_try_advisory_xact_lock(8) AS is_free');
    expect(rows).toEqual([{ is_free: true }]);
    expect((await pool.query(pidText)).rows).toEqual(before.rows);
  });
});

it('counts on nothing that the database has for a default', async () => {
  const name = new URL(database.adminUrl).pathname.slice(1);
  for (const setting of [
    `DateStyle = 'German, DMY'`,
    `TimeZone = 'Pacific/Auckland'`,
    `default_transaction_isolation = 'serializable'`,
  ]) {
    await admin.query(`ALTER DATABASE ${name} SET ${setting}`);
  }
  const other = createPool({ url: database.adminUrl, max: 1, applicationName: 'pool-spec' });
  try {
    const { rows } = await other.query(`
      SELECT '2026-11-30'::date::text AS day,
        '2026-11-30T12:00:00Z'::timestamptz::date::text AS utc,
        current_setting('transaction_isolation') AS isolation`);
    expect(rows).toEqual([{ day: '2026-11-30', utc: '2026-11-30', isolation: 'read committed' }]);
  } finally {
    await other.end();
    await admin.query(`ALTER DATABASE ${name} RESET ALL`);
  }
});

describe('a plan that is kept', () => {
  const days = ['2026-01-02', '2026-01-02'];
  const found = `
    FROM unnest($1::text[], $2::date[]) AS i (id, day) JOIN public.plan_spec AS t
      ON t.id = i.id AND t.day = i.day
    WHERE t.day BETWEEN $3::date AND $4::date`;
  const planOf = async (name: string): Promise<string> => {
    const { rows } = await admin.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
       EXECUTE ${name} ('{7}', '{${days[0]}}', '${days[0]}', '${days[1]}')`,
    );
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  };

  beforeAll(() =>
    admin.query(`
      CREATE TABLE public.plan_spec (id text, day date, n int, PRIMARY KEY (id, day))
        PARTITION BY RANGE (day);
      DO $$ BEGIN FOR n IN 0..39 LOOP
        EXECUTE format('CREATE TABLE public.plan_spec_%s PARTITION OF public.plan_spec
          FOR VALUES FROM (%L) TO (%L)', n, date '2026-01-02' + n, date '2026-01-02' + n + 1);
      END LOOP; END $$`),
  );
  afterAll(() => admin.query('DROP TABLE public.plan_spec'));

  it('finds rows by their key when the day, empty when it was made, is full', async () => {
    const text = `UPDATE public.plan_spec AS u SET n = 1 FROM (SELECT t.id, t.day ${found}) AS f
      WHERE u.id = f.id AND u.day = f.day AND u.day BETWEEN $3::date AND $4::date`;
    const query = { name: 'plan_kept', text, values: [['7'], [days[0]], ...days] };
    await admin.query(query);
    await admin.query(`INSERT INTO public.plan_spec
      SELECT n::text, '2026-01-02', 0 FROM generate_series(1, 5000) AS n`);
    expect((await admin.query(query)).rowCount).toBe(1);
    const plan = await planOf('plan_kept');
    expect(plan).toContain('Index Cond: ((id = ');
    expect(plan).not.toMatch(/rows=5000/);
  });

  it('is run by one process, however many days there are', async () => {
    const both = `SELECT t.n ${found} UNION ALL SELECT t.n + 1 ${found}`;
    await admin.query({ name: 'plan_of_days', text: both, values: [['7'], [days[0]], ...days] });
    const plan = await planOf('plan_of_days');
    expect(plan).toContain('Subplans Removed: 39');
    expect(plan).not.toContain('Workers');
  });
});
