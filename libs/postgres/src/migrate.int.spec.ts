import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { createPool, migrate, type Pool } from './index.ts';

jest.setTimeout(30_000);

const directory = join(import.meta.dirname, '../../../deploy/migrations');

let database: TestDatabase;
let pool: Pool;
let ownDirectory: string;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 1, applicationName: 'migrate-spec' });
  ownDirectory = await mkdtemp(join(tmpdir(), 'millrace-migrations-'));
});
afterAll(async () => {
  await pool.end();
  await rm(ownDirectory, { recursive: true });
  await database.drop();
});

describe('migrate', () => {
  it('a second time does nothing and says so', async () => {
    const lines: string[] = [];
    const log = (line: string): unknown => lines.push(line);
    await migrate({ databaseUrl: database.adminUrl, directory, log });
    expect(lines).toEqual(['migrations: nothing to apply']);
    const { rows } = await pool.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM millrace.migrations',
    );
    const files = (await readdir(directory)).filter((name) => name.endsWith('.sql'));
    expect(rows[0]?.count).toBe(files.length);
  });

  it('two at once apply everything once', async () => {
    const slow = 'CREATE TABLE public.slow (id int); SELECT pg_sleep(0.2);';
    await writeFile(join(ownDirectory, '0901_slow.sql'), slow);
    const both = await Promise.all(
      [1, 2].map(() => migrate({ databaseUrl: database.adminUrl, directory: ownDirectory })),
    );
    expect(both.flat()).toEqual(['0901_slow']);
  });

  it('leaves the database as it was when a migration fails', async () => {
    await writeFile(join(ownDirectory, '0902_good.sql'), 'CREATE TABLE public.good (id int);');
    await writeFile(join(ownDirectory, '0903_bad.sql'), 'CREATE TABLE public.good (id int);');
    await expect(
      migrate({ databaseUrl: database.adminUrl, directory: ownDirectory }),
    ).rejects.toThrow(/0903_bad failed.*already exists/);
    const { rows } = await pool.query("SELECT to_regclass('public.good') AS good");
    expect(rows).toEqual([{ good: null }]);
  });
});
