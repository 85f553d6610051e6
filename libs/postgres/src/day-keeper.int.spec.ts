import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, type TestDatabase, testDaysOld } from '@millrace/testing';

import { createPool, DayKeeper, type Pool } from './index.ts';

jest.setTimeout(30_000);

let database: TestDatabase;
let admin: Pool;
let worker: Pool;
const errors: unknown[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'days-spec' });
  const url = database.url('claude_worker');
  worker = createPool({ url, max: 1, applicationName: 'days-spec-worker' });
});
afterAll(async () => {
  await worker.end();
  await admin.end();
  await database.drop();
});
beforeEach(async () => {
  errors.length = 0;
  await admin.query('TRUNCATE worker.calls, worker.attempts, ingest.jobs, ingest.job_keys');
});

function keeper(pool = worker): DayKeeper {
  return new DayKeeper({
    pool,
    schema: 'worker',
    onDropped: () => undefined,
    onError: (error) => errors.push(error),
  });
}

async function daysOf(table: string): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass AND c.relname NOT LIKE '%\\_default' ORDER BY 1`,
    [table],
  );
  return rows.map(({ name }) => name.slice(-8));
}

async function today(plus = 0): Promise<string> {
  const { rows } = await admin.query<{ day: string }>(
    `SELECT to_char((now() AT TIME ZONE 'UTC')::date + $1::int, 'YYYYMMDD') AS day`,
    [plus],
  );
  return rows[0]?.day ?? '';
}

/** A call of so many days ago that ended so many days ago; null: it has not. */
async function insertCall(id: string, daysAgo: number, endedAgo: number | null): Promise<void> {
  await admin.query(
    `INSERT INTO worker.calls (tenant, call_id, day, state, lane, stream, reply, origin,
       completion, completion_type, finished_at)
     SELECT 'acme', $1, (now() AT TIME ZONE 'UTC')::date - $2::int,
       CASE WHEN $3::int IS NULL THEN 'QUEUED' ELSE 'SETTLED' END, 1, false, '', '',
       CASE WHEN $3::int IS NOT NULL THEN ''::bytea END, 'type', now() - make_interval(days => $3)`,
    [id, daysAgo, endedAgo],
  );
  await admin.query(
    `INSERT INTO worker.attempts (tenant, call_id, day, number, outcome, started_at, ended_at)
     SELECT tenant, call_id, day, 1, 'succeeded', now(), now()
     FROM worker.calls WHERE call_id = $1`,
    [id],
  );
}

async function calls(): Promise<string[]> {
  const { rows } = await admin.query<{ call_id: string }>(
    'SELECT call_id FROM worker.calls JOIN worker.attempts USING (tenant, call_id, day) ORDER BY 1',
  );
  return rows.map(({ call_id: id }) => id);
}

const roles = {
  ingest: 'ingest',
  worker: 'claude_worker',
  orchestrator: 'agent_orchestrator',
  tools: 'tool_runner',
  dispatcher: 'webhook_dispatcher',
} as const;
const schemas = ['ingest', 'worker', 'orchestrator', 'tools', 'dispatcher'] as const;

describe.each(schemas)('the role of the schema %s', (schema) => {
  it('drops old days of each of its tables by days, and makes those to come', async () => {
    const { rows } = await admin.query<{ name: string }>(
      `SELECT table_name AS name FROM millrace.daily_tables
       WHERE schema_name = $1 AND partitioned`,
      [schema],
    );
    const tables = rows.map(({ name }) => `${schema}.${name}`);
    for (const { name } of rows) {
      await admin.query(
        `SELECT millrace_make_day($1, $2, (now() AT TIME ZONE 'UTC')::date - days)
         FROM unnest('{31, 40}'::int[]) AS days`,
        [schema, name],
      );
    }
    const old = [await today(-40), await today(-31)];
    for (const table of tables) expect(await daysOf(table)).toEqual(expect.arrayContaining(old));
    const url = database.url(roles[schema]);
    const pool = createPool({ url, max: 1, applicationName: 'days-spec-role' });
    const dropped = new Map<string, number>();
    const onDropped = ({ table, days }: { table: string; days: number }): void =>
      void dropped.set(`${schema}.${table}`, days);
    const onError = (error: unknown): void => void errors.push(error);
    await new DayKeeper({ pool, schema, onDropped, onError }).keep();
    await pool.end();
    expect(errors).toEqual([]);
    const days = [await today(-testDaysOld), await today(), await today(1), await today(2)];
    for (const table of tables) expect([table, await daysOf(table)]).toEqual([table, days]);
    expect([...dropped].sort()).toEqual(tables.map((table) => [table, 2]).sort());
  });
});

it('every schema with tables by days has a role that keeps them', async () => {
  const { rows } = await admin.query<{ name: string }>(
    'SELECT DISTINCT schema_name AS name FROM millrace.daily_tables',
  );
  expect(rows.map(({ name }) => name).filter((name) => !Object.hasOwn(roles, name))).toEqual([]);
  expect(rows.length).toBeGreaterThan(1);
});

describe('DayKeeper', () => {
  it('has partitions for today and the two days to come', async () => {
    await keeper().keep();
    expect(errors).toEqual([]);
    const days = [await today(-testDaysOld), await today(), await today(1), await today(2)];
    expect(await daysOf('worker.calls')).toEqual(days);
    expect(await daysOf('worker.attempts')).toEqual(days);
  });

  it('moves what came before its partition, and finds it there', async () => {
    const tomorrow = await today(1);
    for (const table of ['calls', 'attempts']) {
      await admin.query(`DROP TABLE worker.${table}_${tomorrow}`);
    }
    await insertCall('early', -1, null);
    await keeper().keep();
    expect(errors).toEqual([]);
    const { rows } = await admin.query(`SELECT call_id FROM worker.calls_${tomorrow}`);
    expect(rows).toEqual([{ call_id: 'early' }]);
    expect(await calls()).toEqual(['early']);
  });

  it.each([true, false])(
    'drops a day 30 days after the last end in it (with a partition: %s)',
    async (partitioned) => {
      for (const table of partitioned ? ['calls', 'attempts'] : []) {
        for (const ago of [31, 32, 40]) {
          await admin.query(
            `SELECT millrace_make_day('worker', $1, (now() AT TIME ZONE 'UTC')::date - $2::int)`,
            [table, ago],
          );
        }
      }
      await insertCall('ended-at-once', 40, 40);
      await insertCall('its-neighbour', 40, 31);
      await insertCall('ended-lately', 32, 29);
      await insertCall('never-ended', 31, null);
      await insertCall('new', 1, 1);
      await keeper().keep();
      expect(errors).toEqual([]);
      expect(await calls()).toEqual(['ended-lately', 'never-ended', 'new']);
      await admin.query(`UPDATE worker.calls SET state = 'SETTLED', completion = '',
        finished_at = now() - interval '31 days' WHERE call_id = 'never-ended'`);
      await keeper().keep();
      expect(await calls()).toEqual(['ended-lately', 'new']);
      const { rows } = await admin.query('SELECT call_id FROM worker.attempts ORDER BY 1');
      expect(rows).toEqual([{ call_id: 'ended-lately' }, { call_id: 'new' }]);
    },
  );

  it('lets the keys of a job go with its day', async () => {
    const ingest = createPool({ url: database.url('ingest'), max: 1, applicationName: 'days' });
    const insert = `
      WITH job AS (SELECT $1 AS id, now() - make_interval(days => $2) AS at), keyed AS (
        INSERT INTO ingest.job_keys
        SELECT 'acme', id, NULL, (at AT TIME ZONE 'UTC')::date FROM job)
      INSERT INTO ingest.jobs (tenant, id, day, type, status, lane, source, request_hash, refused,
        first_event, traceparent, created_at, finished_at)
      SELECT 'acme', id, (at AT TIME ZONE 'UTC')::date, 'message', 'succeeded', 'standard', 'http',
        '', false, '', '', at, at FROM job`;
    await admin.query(insert, ['old', 40]);
    await admin.query(insert, ['new', 1]);
    const options = { pool: ingest, onDropped: () => undefined };
    const onError = (error: unknown): void => void errors.push(error);
    await new DayKeeper({ ...options, schema: 'ingest', onError }).keep();
    await ingest.end();
    expect(errors).toEqual([]);
    const { rows } = await admin.query('SELECT id FROM ingest.job_keys');
    expect(rows).toEqual([{ id: 'new' }]);
  });

  it('lets notes of late spend go by their own age', async () => {
    await admin.query(
      `INSERT INTO worker.late_usage (tenant, call_id, attempt, owner, recorded_at)
       SELECT 'acme', 'call-' || days, 1, 'gone', now() - make_interval(days => days)
       FROM unnest('{1, 30, 32}'::int[]) AS days`,
    );
    await keeper().keep();
    expect(errors).toEqual([]);
    const { rows } = await admin.query('SELECT call_id FROM worker.late_usage ORDER BY 1');
    expect(rows).toEqual([{ call_id: 'call-1' }, { call_id: 'call-30' }]);
  });

  it('waits for nobody longer than a moment, and tries again', async () => {
    await admin.query(`DROP TABLE worker.calls_${await today(2)}`);
    const blocker = await admin.connect();
    await blocker.query('BEGIN; LOCK TABLE worker.calls IN ACCESS EXCLUSIVE MODE');
    await keeper().keep();
    expect(errors).toHaveLength(1);
    await blocker.query('ROLLBACK');
    blocker.release();
    await keeper().keep();
    expect(await daysOf('worker.calls')).toContain(await today(2));
  });

  it('is refused to the services of other schemas', async () => {
    const { rows } = await worker.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM public.millrace_daily_tables('ingest')`,
    );
    expect(rows[0]?.n).toBeGreaterThan(0);
    const keep = worker.query(`SELECT public.millrace_keep_days('ingest', 'jobs')`);
    await expect(keep).rejects.toMatchObject({ code: '42501' });
    const make = worker.query(`SELECT public.millrace_make_day('worker', 'calls', '2000-01-01')`);
    await expect(make).rejects.toMatchObject({ code: '42501' });
  });
});
