import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { OutgoingMessage } from '@millrace/contracts';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { sweepBytesMax } from './core/sweep-plan.ts';
import { createPool, Outbox, outboxColumns, outboxInsertSql, type Pool } from './index.ts';

jest.setTimeout(30_000);

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  const url = database.adminUrl;
  pool = createPool({ url, max: 5, applicationName: 'outbox-spec' });
  await pool.query('CREATE SCHEMA boxed');
  // The same table as every schema's, in a schema that no service owns.
  await pool.query('CREATE TABLE boxed.outbox (LIKE worker.outbox INCLUDING ALL)');
});
beforeEach(() => pool.query('TRUNCATE boxed.outbox'));
afterAll(async () => {
  await pool.end();
  await database.drop();
});

function message(id: string): OutgoingMessage {
  const headers = { ce_id: id, ce_type: 'millrace.spec.v1' };
  return { topic: 'spec.v1', key: `key ${id}`, headers, value: Buffer.from([0, 1, 255]) };
}

async function commit(messages: readonly OutgoingMessage[]): Promise<void> {
  await pool.query(outboxInsertSql('boxed', 1), outboxColumns(messages));
}

/** Rows with values of these sizes, old enough to be swept. */
async function commitLarge(sizes: readonly (number | null)[]): Promise<void> {
  await pool.query(
    `INSERT INTO boxed.outbox (id, topic, headers, value, created_at)
     SELECT place, 'spec.v1', '{}', convert_to(repeat('x', bytes), 'UTF8'),
       now() - interval '1 min' + place * interval '1 s'
     FROM unnest($1::int[]) WITH ORDINALITY AS sizes (bytes, place)`,
    [sizes],
  );
}

async function ids(): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>('SELECT id FROM boxed.outbox ORDER BY id');
  return rows.map(({ id }) => id);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    if (await condition()) return;
    await sleep(10);
  }
  throw new Error('the condition never came true');
}

/** An outbox over a Kafka that refuses the ids in `refused`, and hangs while `held` is set. */
function box(
  options: { refused?: Set<string>; held?: Promise<void>; sweepEveryMs?: number } = {},
) {
  const published: OutgoingMessage[] = [];
  const publishes: number[] = [];
  const errors: unknown[] = [];
  const outbox = new Outbox({
    pool,
    schema: 'boxed',
    sweepEveryMs: options.sweepEveryMs ?? 20,
    sweepAfterMs: 100,
    isRefusal: () => true,
    onError: (error) => errors.push(error),
    publish: async (messages) => {
      await options.held;
      if (messages.some(({ headers }) => options.refused?.has(headers['ce_id'] ?? ''))) {
        throw new Error('Kafka refuses');
      }
      published.push(...messages);
      publishes.push(messages.reduce((bytes, { value }) => bytes + (value?.length ?? 0), 0));
    },
  });
  return { outbox, published, publishes, errors };
}

describe('Outbox', () => {
  it('publishes right after the commit and deletes on ack', async () => {
    const { outbox, published, errors } = box();
    const messages = [message('1'), message('2')];
    await commit(messages);
    outbox.publish(messages);
    await outbox.flush();
    expect(published).toEqual(messages);
    expect(await ids()).toEqual([]);
    expect(errors).toEqual([]);
    await outbox.stop();
  });

  it('what a crashed process left is published by the sweep of another, once', async () => {
    const messages = Array.from({ length: 450 }, (_, i) => message(`${i}`));
    await commit(messages);
    const boxes = [box(), box()];
    for (const { outbox } of boxes) outbox.start();
    await until(async () => (await ids()).length === 0);
    for (const { outbox } of boxes) await outbox.stop();
    const published = boxes.flatMap((one) => one.published);
    expect(published).toHaveLength(450);
    expect(published.find(({ headers }) => headers['ce_id'] === '7')).toEqual(message('7'));
  });

  it('takes no more bytes at once than memory is meant to hold, and goes on at once', async () => {
    await commitLarge([...Array.from({ length: 18 }, () => 1024 * 1024), null]);
    const { outbox, publishes } = box({ sweepEveryMs: 60_000 });
    outbox.start();
    await until(async () => (await ids()).length === 0);
    await outbox.stop();
    expect(publishes).toEqual([16, 2].map((mebibytes) => mebibytes * 1024 * 1024));
  });

  it('holds no more bytes than its limit while Kafka is frozen, and sends all later', async () => {
    let thaw: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (thaw = resolve));
    const { outbox, published } = box({ held });
    const bytes = 250 * 1024;
    const value = Buffer.alloc(bytes);
    const all = Array.from({ length: 300 }, (_, i) => message(`${i}`));
    // Their rows may be small: what counts is held in memory.
    await commit(all);
    const left: number[] = [];
    for (const [i, one] of all.entries()) {
      outbox.publish([{ ...one, value, onSettled: () => left.push(i) }]);
    }
    const taken = all.length - left.length;
    expect(taken * bytes).toBeGreaterThan(60 * 1024 * 1024);
    expect(taken * bytes).toBeLessThanOrEqual(64 * 1024 * 1024);
    thaw();
    outbox.start();
    await until(async () => (await ids()).length === 0);
    await outbox.stop();
    expect(new Set(published.map(({ headers }) => headers['ce_id'])).size).toBe(all.length);
    expect(published).toHaveLength(all.length);
  });

  it('sweeps a row that is larger than that', async () => {
    await commitLarge([sweepBytesMax + 1, 3]);
    const { outbox, publishes } = box();
    outbox.start();
    await until(async () => (await ids()).length === 0);
    await outbox.stop();
    expect(publishes).toEqual([sweepBytesMax + 1, 3]);
  });

  it('keeps a row whose publish failed, and delivers it when Kafka is back', async () => {
    const refused = new Set(['1']);
    const { outbox, published, errors } = box({ refused });
    await commit([message('1')]);
    outbox.publish([message('1')]);
    await outbox.flush();
    expect(await ids()).toEqual(['spec.v1/1']);
    expect(errors).toHaveLength(1);
    refused.clear();
    outbox.start();
    await until(async () => (await ids()).length === 0);
    expect(published).toHaveLength(1);
    await outbox.stop();
  });

  it('does not let one message that is always refused hold up the others', async () => {
    const { outbox, published } = box({ refused: new Set(['3']) });
    await commit(Array.from({ length: 20 }, (_, i) => message(`${i}`)));
    outbox.start();
    await until(async () => (await ids()).length === 1);
    expect(await ids()).toEqual(['spec.v1/3']);
    expect(published).toHaveLength(19);
    await outbox.stop();
  });

  it('does not sweep what it is publishing itself', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { outbox, published } = box({ held });
    outbox.start();
    await commit([message('slow')]);
    outbox.publish([message('slow')]);
    // Several sweeps go by while the row is older than the sweep's age.
    await until(async () => {
      const { rows } = await pool.query<{ old: boolean }>(
        "SELECT created_at < clock_timestamp() - interval '300 ms' AS old FROM boxed.outbox",
      );
      return rows[0]?.old === true;
    });
    release();
    await outbox.flush();
    await outbox.stop();
    expect(published).toHaveLength(1);
    expect(await ids()).toEqual([]);
  });

  it('publishes a row that has a name of its own once, by whoever finds it', async () => {
    const named = { ...message('1'), outboxId: 'again/1' };
    await commit([message('1'), named]);
    expect(await ids()).toEqual(['again/1', 'spec.v1/1']);
    const { outbox, published } = box();
    outbox.publish([message('1')]);
    await outbox.flush();
    expect(await ids()).toEqual(['again/1']);
    outbox.start();
    await until(async () => (await ids()).length === 0);
    await commit([named]);
    outbox.publish([named]);
    await outbox.flush();
    expect(await ids()).toEqual([]);
    await outbox.stop();
    expect(published).toEqual([message('1'), message('1'), named]);
  });

  it('takes the same message twice into one row', async () => {
    await commit([message('1'), message('1')]);
    await commit([message('1')]);
    expect(await ids()).toEqual(['spec.v1/1']);
  });
});
