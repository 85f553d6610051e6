import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import fc from 'fast-check';

import { arrayQuery, createPool, type Pool } from './index.ts';

const text = fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\0') && s.isWellFormed());
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const time = fc.date({ noInvalidDate: true, min: new Date('1900-01-01'), max: new Date(4e12) });
const json = fc.json().filter((s) => !s.includes('\\u0000') && s.isWellFormed());

const withoutMinusZero = (n: number): number => (Object.is(n, -0) ? 0 : n);

/** Each type with its elements. */
const cases: [string, fc.Arbitrary<unknown>][] = [
  ['text', text],
  ['bytea', bytes],
  ['boolean', fc.boolean()],
  ['smallint', fc.integer({ min: -32_768, max: 32_767 })],
  ['int', fc.integer()],
  // The driver writes -0 as 0.
  ['float8', fc.double({ noNaN: true }).map(withoutMinusZero)],
  ['real', fc.float({ noNaN: true }).map(withoutMinusZero)],
  ['timestamptz', fc.oneof(time, time.map((date) => date.toISOString()))],
  ['jsonb', json.filter((s) => !/\\ud[89a-f]/i.test(s) && !/[eE]/.test(s) && !s.includes('-0'))],
];

describe('array parameters in the binary format', () => {
  let database: TestDatabase;
  let pool: Pool;
  beforeAll(async () => {
    database = await createTestDatabase();
    pool = createPool({ url: database.adminUrl, max: 1, applicationName: 'array-spec' });
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  it.each(cases)('%s arrays mean the same as in the text format', async (type, element) => {
    const statement = `SELECT array_to_json($1::${type}[])::text AS json`;
    const elements = fc.array(fc.option(element), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(elements, async (values) => {
        const asText = await pool.query(statement, [values]);
        const binary = await pool.query(
          arrayQuery({ text: statement, values: [values] }),
        );
        expect(binary.rows).toEqual(asText.rows);
      }),
      { numRuns: 60 },
    );
  });

  it('leaves alone what is no array, or is cast to no type that it knows', async () => {
    const statement = 'SELECT $1::int AS one, $2::uuid[] AS ids, $3::text[] AS none';
    const id = '018f3f5e-0000-7000-8000-000000000000';
    const { rows } = await pool.query(
      arrayQuery({ text: statement, values: [1, [id], null] }),
    );
    expect(rows).toEqual([{ one: 1, ids: [id], none: null }]);
  });

  it('gives a text that holds a NUL to the database, which refuses it as a bad row', async () => {
    const query = arrayQuery({ text: 'SELECT $1::text[]', values: [['a\0b']] });
    await expect(pool.query(query)).rejects.toMatchObject({ code: '22021' });
  });

  it.each([
    ['smallint', 40_000, '22003'],
    ['int', 2 ** 31, '22003'],
    ['timestamptz', 'someday', '22007'],
  ])('leaves it to the database to refuse %s %j as a bad row', async (type, value, code) => {
    const query = arrayQuery({ text: `SELECT $1::${type}[]`, values: [[value]] });
    await expect(pool.query(query)).rejects.toMatchObject({ code });
  });
});
