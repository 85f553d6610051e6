import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { Blobs, createPool, databaseNow, type Pool } from './index.ts';

jest.setTimeout(30_000);

const mebibyte = 1024 * 1024;

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let blobs: Blobs;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'blobs-spec-admin' });
  pool = createPool({ url: database.url('ingest'), max: 2, applicationName: 'blobs-spec' });
  blobs = new Blobs(pool);
});
afterAll(async () => {
  await pool.end();
  await admin.end();
  await database.drop();
});

describe('Blobs', () => {
  it.each([0, 1, mebibyte, mebibyte + 1, 10 * mebibyte])('keeps %i bytes', async (size) => {
    const bytes = randomBytes(size);
    await blobs.put('acme', `blob_${size}`, { bytes, ttlSeconds: 60 });
    const kept = await blobs.get('acme', `blob_${size}`);
    expect(kept?.equals(bytes)).toBe(true);
    const { rows } = await admin.query<{ longest: number; count: number }>(
      `SELECT max(octet_length(bytes)) AS longest, count(*)::int AS count
       FROM blobs.chunks WHERE id = $1`,
      [`blob_${size}`],
    );
    expect(rows[0]?.longest).toBeLessThanOrEqual(mebibyte);
    expect(rows[0]?.count).toBe(Math.max(1, Math.ceil(size / mebibyte)));
  });

  it('shows a tenant nothing of another', async () => {
    await blobs.put('acme', 'blob_secret', { bytes: Buffer.from('secret'), ttlSeconds: 60 });
    expect(await blobs.get('other', 'blob_secret')).toBeNull();
    await blobs.put('other', 'blob_secret', { bytes: Buffer.from('own'), ttlSeconds: 60 });
    expect((await blobs.get('acme', 'blob_secret'))?.toString()).toBe('secret');
  });

  it('is idempotent by id, and lives for as long as the longer of two puts says', async () => {
    await blobs.put('acme', 'blob_twice', { bytes: Buffer.from('first'), ttlSeconds: 60 });
    await blobs.put('acme', 'blob_twice', { bytes: Buffer.from('first'), ttlSeconds: 600 });
    await blobs.put('acme', 'blob_twice', { bytes: Buffer.from('first'), ttlSeconds: 1 });
    expect((await blobs.get('acme', 'blob_twice'))?.toString()).toBe('first');
    const now = await databaseNow(pool);
    const { rows } = await admin.query<{ expires_at: Date }>(
      "SELECT expires_at FROM blobs.chunks WHERE id = 'blob_twice'",
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.expires_at.getTime()).toBeGreaterThan(now.getTime() + 500_000);
  });

  it('gives nothing that has expired, writes it anew, and purges it', async () => {
    await blobs.put('acme', 'blob_old', { bytes: randomBytes(2 * mebibyte), ttlSeconds: -1 });
    expect(await blobs.get('acme', 'blob_old')).toBeNull();
    await blobs.put('acme', 'blob_old', { bytes: Buffer.from('new'), ttlSeconds: 60 });
    expect((await blobs.get('acme', 'blob_old'))?.toString()).toBe('new');
    const gone = { bytes: Buffer.from('x'), ttlSeconds: -1 };
    for (let i = 0; i < 70; i += 1) await blobs.put('acme', `blob_gone${i}`, gone);
    expect(await blobs.purge()).toBe(71);
    expect(await blobs.purge()).toBe(0);
    expect((await blobs.get('acme', 'blob_old'))?.toString()).toBe('new');
  });
});
