import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import pg from 'pg';

import {
  PostgresProcessedWebhooks,
  processedWebhooksTable,
  processOnce,
} from './processed-webhooks.ts';

let database: TestDatabase;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.adminUrl, max: 10 });
  await pool.query(processedWebhooksTable);
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

beforeEach(async () => {
  await pool.query('TRUNCATE processed_webhooks');
});

it('gives one of fifty copies that come at once to a handler', async () => {
  const processed = new PostgresProcessedWebhooks(pool);
  let runs = 0;
  const copies = Array.from({ length: 50 }, () => processOnce(processed, 'msg_1', () => ++runs));
  const ends = (await Promise.all(copies)).map(({ status }) => status);
  expect(runs).toBe(1);
  expect(ends.filter((status) => status === 'processed')).toHaveLength(1);
  expect(await processOnce(processed, 'msg_1', () => ++runs)).toEqual({
    status: 'already_processed',
  });
});

it('frees what failed', async () => {
  const processed = new PostgresProcessedWebhooks(pool);
  const failing = () => Promise.reject(new Error('no'));
  await expect(processOnce(processed, 'msg_1', failing)).rejects.toThrow('no');
  expect(await processed.claim('msg_1')).toBe('claimed');
});

it('lets another process take over when the claim of a dead one is over', async () => {
  const dead = new PostgresProcessedWebhooks(pool);
  expect(await dead.claim('msg_1')).toBe('claimed');
  expect(await new PostgresProcessedWebhooks(pool, 60_000).claim('msg_1')).toBe('busy');
  const older = `UPDATE processed_webhooks SET claimed_at = now() - interval '61 s'`;
  await pool.query(older);
  const heirs = [1, 2, 3].map(() => new PostgresProcessedWebhooks(pool, 60_000).claim('msg_1'));
  expect((await Promise.all(heirs)).sort()).toEqual(['busy', 'busy', 'claimed']);
});
