import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { changedMeanwhile, createTestDatabase, type TestDatabase } from '@millrace/testing';

import { createPool, type Pool, sameDay } from './index.ts';

jest.setTimeout(60_000);

let database: TestDatabase;
let pool: Pool;
let admin: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 1, applicationName: 'same-day-spec' });
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'same-day-spec-admin' });
  await admin.query(`
    CREATE TABLE public.t (id text, day date, n int, PRIMARY KEY (id, day))
      PARTITION BY RANGE (day);
    CREATE TABLE public.t_1 PARTITION OF public.t FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
    CREATE TABLE public.t_2 PARTITION OF public.t FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
    CREATE TABLE public.t_3 PARTITION OF public.t FOR VALUES FROM ('2026-01-03') TO ('2026-01-04');
    CREATE TABLE public.t_default PARTITION OF public.t DEFAULT`);
});

afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await database?.drop();
});

/** Rows that `text` returns when the first of them changes while it waits for it. */
async function foundOf(name: string, text: string, day: string): Promise<unknown> {
  await admin.query('TRUNCATE public.t');
  await admin.query(`INSERT INTO public.t VALUES ('a', $1, 1), ('b', $1, 1)`, [day]);
  const query = { name, text, values: [['a', 'b'], [day, day], day, day] };
  const found = await changedMeanwhile({
    url: database.adminUrl,
    change: `UPDATE public.t SET n = 2 WHERE id = 'a'`,
    work: () => pool.query<{ id: string; n: number }>(query),
  });
  return found.rows.map(({ id, n }) => `${id}${n}`).sort();
}

function statementsOf(isSame: string): Record<string, string> {
  const given = 'unnest($1::text[], $2::date[]) AS i (id, day)';
  const where = `t.id = i.id AND ${isSame} AND t.day BETWEEN $3::date AND $4::date`;
  const locked = `SELECT t.id, t.day, t.n FROM ${given}, public.t WHERE ${where}
    ORDER BY t.id FOR NO KEY UPDATE OF t`;
  return {
    change: `UPDATE public.t SET n = n + 10 FROM ${given} WHERE ${where} RETURNING t.id, t.n`,
    lock: locked,
    'lock and change': `WITH i AS (${locked})
      UPDATE public.t SET n = t.n + 10 FROM i WHERE ${where} RETURNING t.id, t.n`,
    delete: `DELETE FROM public.t USING ${given} WHERE ${where} RETURNING t.id, t.n`,
  };
}

const days = ['2026-01-01', '2026-01-02', '2026-01-03', '2026-01-09'];
const expected: Record<string, string[]> = {
  change: ['a12', 'b11'],
  lock: ['a2', 'b1'],
  'lock and change': ['a12', 'b11'],
  delete: ['a2', 'b1'],
};

describe('a row that changes while a statement waits for it', () => {
  describe.each(days)('of %s', (day) => {
    it.each(Object.entries(statementsOf(sameDay('t', 'i.day'))))(
      'is found, and those after it: %s',
      async (name, text) => expect(await foundOf(name, text, day)).toEqual(expected[name]),
    );
  });

  // When this fails, PostgreSQL is mended, and `sameDay` can go.
  it.each(Object.entries(statementsOf('t.day = i.day')))(
    'is lost by PostgreSQL 18 when the day is compared by itself: %s',
    async (name, text) => {
      expect(await foundOf(`bare ${name}`, text, '2026-01-02')).not.toEqual(expected[name]);
    },
  );
});
