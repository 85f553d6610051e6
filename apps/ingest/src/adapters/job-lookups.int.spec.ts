import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createPool, type Pool } from '@millrace/postgres';
import { createTestDatabase, lookupsOf, type TestDatabase } from '@millrace/testing';

import { changeStatusesSql } from './change-statuses.ts';
import { standingJobsQuery } from './find-standing-jobs.ts';
import { endJobs, findEnded } from './finish-jobs.ts';
import { readEndedSql } from './read-ended-jobs.ts';
import { startJobsSql } from './start-jobs.ts';

jest.setTimeout(60_000);

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('ingest'), max: 1, applicationName: 'spec' });
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

describe('a statement whose plan was made before there were jobs of a day', () => {
  const byKey = {
    startJobsSql,
    changeStatusesSql,
    endJobs,
    findEnded,
    readEndedSql,
    findStanding: standingJobsQuery([]).text,
  };
  it.each(Object.entries(byKey))('finds each by its key: %s', async (_name, text) => {
    const lookups = await lookupsOf(pool, text, 'jobs');
    expect(lookups.length).toBeGreaterThan(1);
    for (const { condition, index, table } of lookups) {
      expect(index).toBe(`${table}_pkey`);
      expect(condition).toContain('(id = ');
    }
  });
});
