import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Linger } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import {
  BadRowError,
  createPool,
  GroupCommit,
  isConnectionLost,
  type Pool,
  type PoolClient,
} from './index.ts';

jest.setTimeout(30_000);

interface Item {
  readonly key: string;
  readonly body: string;
}

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 4, applicationName: 'group-commit-spec' });
  await pool.query(`CREATE TABLE public.counted (
    key text PRIMARY KEY, body jsonb, seen int NOT NULL DEFAULT 1, once text UNIQUE)`);
});
beforeEach(() => pool.query('TRUNCATE public.counted'));
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** Counts every application of a key, so that a lost or doubled one shows. */
async function upsert(client: PoolClient, items: readonly Item[]): Promise<string[]> {
  await client.query({
    name: 'counted_upsert',
    text: `INSERT INTO public.counted AS c (key, body)
      SELECT * FROM unnest($1::text[], $2::jsonb[])
      ON CONFLICT (key) DO UPDATE SET seen = c.seen + 1`,
    values: [items.map(({ key }) => key), items.map(({ body }) => body)],
  });
  return items.map(({ key }) => key);
}

interface CountingOptions {
  readonly pool?: Pool;
  readonly concurrency?: number;
  readonly rowsMax?: number;
  readonly waitingMax?: number;
  readonly linger?: Linger;
}

function counting(options: CountingOptions = {}) {
  const batches: number[] = [];
  const group = new GroupCommit<Item, string>({
    name: 'counted',
    pool,
    keyOf: ({ key }) => key,
    bytesOf: ({ body }) => body.length,
    commit: (client, items) => {
      batches.push(items.length);
      return upsert(client, items);
    },
    ...options,
  });
  return { group, batches };
}

async function counts(): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ key: string; seen: number }>(
    'SELECT key, seen FROM public.counted',
  );
  return Object.fromEntries(rows.map(({ key, seen }) => [key, seen]));
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    if (await condition()) return;
    await sleep(10);
  }
  throw new Error('the condition never came true');
}

describe('GroupCommit', () => {
  it('applies 1,000 concurrent submits exactly once, in few statements', async () => {
    const { group, batches } = counting();
    const keys = Array.from({ length: 1_000 }, (_, i) => `k${i}`);
    const results = await Promise.all(keys.map((key) => group.submit({ key, body: '{}' })));
    expect(results).toEqual(keys);
    expect(await counts()).toEqual(Object.fromEntries(keys.map((key) => [key, 1])));
    expect(batches.length).toBeLessThanOrEqual(3);
  });

  it.each([1, 3])('applies items of one key one after the other (%i at a time)', async (n) => {
    const { group } = counting({ concurrency: n });
    const items = Array.from({ length: 200 }, (_, i) => ({ key: `k${i % 20}`, body: '{}' }));
    const settled = await group.submitAll(items);
    expect(settled.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(new Set(Object.values(await counts()))).toEqual(new Set([10]));
  });

  it('rejects at once what comes above its limit, and commits the rest', async () => {
    const { group } = counting({ waitingMax: 3 });
    const items = ['a', 'b', 'c', 'd', 'e'].map((key) => ({ key, body: '{}' }));
    const settled = await group.submitAll(items);
    expect(settled.map(({ status }) => status === 'fulfilled')).toEqual([
      ...[true, true, true],
      ...[false, false],
    ]);
    expect(await group.submit({ key: 'd', body: '{}' })).toBe('d');
    expect(await counts()).toEqual({ a: 1, b: 1, c: 1, d: 1 });
  });

  it('waits for company only when busy', async () => {
    const linger = { busyPerSecond: 100, lingerMs: 60_000 };
    const { group, batches } = counting({ linger });
    // It would take a minute.
    await group.submit({ key: 'alone', body: '{}' });
    await nextTurn();
    const items = Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, body: '{}' }));
    const all = group.submitAll(items);
    const late = group.submit({ key: 'late', body: '{}' });
    await sleep(50);
    expect(batches).toEqual([1]);
    await group.close();
    await Promise.all([all, late]);
    expect(batches).toEqual([1, 101]);
  });

  it('waits while company comes, and no longer', async () => {
    const linger = { busyPerSecond: 0, lingerMs: 60_000, quietMs: 200 };
    const { group, batches } = counting({ linger });
    const all: Promise<string>[] = [];
    for (let i = 0; i < 50; i += 1) {
      all.push(group.submit({ key: `k${i}`, body: '{}' }));
      await sleep(6);
    }
    // It would take a minute.
    await Promise.all(all);
    expect(batches).toEqual([50]);
  });

  it('waits for nobody with a full statement', async () => {
    const linger = { busyPerSecond: 0, lingerMs: 60_000 };
    const { group, batches } = counting({ linger, rowsMax: 3 });
    const items = ['a', 'b', 'c'].map((key) => ({ key, body: '{}' }));
    const [first, ...others] = items;
    const waiting = group.submit(first!);
    await Promise.all([waiting, group.submitAll(others)]);
    expect(batches).toEqual([3]);
  });

  it('isolates a row with a character that jsonb cannot hold', async () => {
    const { group } = counting();
    const items = Array.from({ length: 100 }, (_, i) => ({
      key: `k${i}`,
      body: i === 37 ? '{"text":"\\u0000"}' : '{}',
    }));
    const settled = await group.submitAll(items);
    expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    expect(settled[37]).toMatchObject({ reason: { sqlState: '22P05' } });
    expect(Object.keys(await counts())).toHaveLength(99);
  });

  it('isolates rows that break a unique constraint in one of two statements', async () => {
    await pool.query("INSERT INTO public.counted (key, once) VALUES ('taken', 'x')");
    const group = new GroupCommit<string, string>({
      name: 'unique',
      pool,
      keyOf: (key) => key,
      transaction: true,
      commit: async (client, keys) => {
        await client.query('INSERT INTO public.counted (key) SELECT unnest($1::text[])', [keys]);
        await client.query(
          `UPDATE public.counted SET once = CASE WHEN key = 'b' THEN 'x' ELSE key END
           WHERE key = ANY($1::text[])`,
          [keys],
        );
        return keys;
      },
    });
    const settled = await group.submitAll(['a', 'b', 'c', 'taken']);
    expect(settled.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
    ]);
    expect(settled[1]).toMatchObject({ reason: expect.any(BadRowError) });
    expect(Object.keys(await counts()).sort()).toEqual(['a', 'c', 'taken']);
  });

  it('two processes on the same keys neither deadlock for good nor lose a row', async () => {
    const other = createPool({ url: database.adminUrl, max: 4, applicationName: 'other' });
    const here = counting({ concurrency: 2, rowsMax: 40 });
    const there = counting({ pool: other, concurrency: 2, rowsMax: 40 });
    const items = Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, body: '{}' }));
    const rounds = Array.from({ length: 10 }, () => [
      here.group.submitAll(items),
      there.group.submitAll(items.toReversed()),
    ]).flat();
    const settled = (await Promise.all(rounds)).flat();
    expect(settled.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(new Set(Object.values(await counts()))).toEqual(new Set([20]));
    await other.end();
  });

  it('sends a batch that was chosen as a deadlock victim again', async () => {
    let deadlocks = 1;
    const group = new GroupCommit<Item, string>({
      name: 'victim',
      pool,
      keyOf: ({ key }) => key,
      commit: async (client, items) => {
        deadlocks -= 1;
        if (deadlocks >= 0) {
          await client.query(`DO $$ BEGIN RAISE deadlock_detected; END $$`);
        }
        return upsert(client, items);
      },
    });
    await expect(group.submit({ key: 'a', body: '{}' })).resolves.toBe('a');
  });

  it('rejects a batch whose connection is killed, as infrastructure, and recovers', async () => {
    const slow = new GroupCommit<Item, string>({
      name: 'slow',
      pool,
      keyOf: ({ key }) => key,
      commit: async (client, items) => {
        if (items.some(({ key }) => key === 'slow')) await client.query('SELECT pg_sleep(30)');
        return upsert(client, items);
      },
    });
    const doomed = slow.submitAll([
      { key: 'slow', body: '{}' },
      { key: 'too', body: '{}' },
    ]);
    await until(async () => {
      const { rowCount } = await pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query = 'SELECT pg_sleep(30)'`,
      );
      return rowCount === 1;
    });
    for (const outcome of await doomed) {
      expect(outcome.status).toBe('rejected');
      if (outcome.status === 'rejected') expect(isConnectionLost(outcome.reason)).toBe(true);
    }
    await expect(slow.submit({ key: 'after', body: '{}' })).resolves.toBe('after');
    expect(await counts()).toEqual({ after: 1 });
  });

  it('knows a server that is not there', async () => {
    const nowhere = createPool({
      url: 'postgres://nobody@127.0.0.1:1/none',
      max: 1,
      applicationName: 'nowhere',
    });
    const { group } = counting({ pool: nowhere });
    const error: unknown = await group.submit({ key: 'a', body: '{}' }).catch((e: unknown) => e);
    expect(isConnectionLost(error)).toBe(true);
    await nowhere.end();
  });

  it('finishes what it has when it is closed, and takes nothing more', async () => {
    const { group } = counting();
    const last = group.submit({ key: 'last', body: '{}' });
    await group.close();
    await expect(last).resolves.toBe('last');
    await expect(group.submit({ key: 'late', body: '{}' })).rejects.toThrow('is closed');
  });
});
