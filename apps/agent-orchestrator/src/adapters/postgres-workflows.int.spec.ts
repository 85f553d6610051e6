import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  IdentityPayloadCodec,
  outgoingMessageId,
  workflowRequestedSchema,
  workflowSignalledSchema,
  type OutgoingMessage,
} from '@millrace/contracts';
import { Blobs, createPool, Outbox, type Pool } from '@millrace/postgres';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { createTestDatabase, lookupsOf, type TestDatabase } from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { ToolTokens } from '../core/tool-token.ts';
import type { Reducers } from '../core/reducers.ts';
import type { WorkflowEvent } from '../core/workflow.ts';
import { countingReducer } from '../counting-reducer.fixture.ts';
import { ForkSource } from '../fork-source.ts';
import { OrchestratorTelemetry } from '../orchestrator-telemetry.ts';
import { OutgoingMessages } from '../outgoing-messages.ts';
import type { Arrival } from '../ports.ts';
import { StoredBodies } from '../stored-bodies.ts';
import { WorkflowArrivals } from '../workflow-arrivals.ts';
import { WorkflowEngine } from '../workflow-engine.ts';
import { WorkflowTimers } from '../workflow-timers.ts';
import { PostgresWorkflows } from './postgres-workflows.ts';
import { loadSql, writeSql } from './workflow-statements.ts';

jest.setTimeout(60_000);

const codec = new IdentityPayloadCodec();
const log = new SilentLogger();
const createdAt = '2026-11-24T10:00:00.000Z';
const day = '2026-11-24';
const range = { from: 1, limit: 100, bytesMax: 1_000_000 };

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('agent_orchestrator'), max: 12, applicationName: 'spec' });
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

/** One process, as far as workflows go. */
function replica(reducers: Reducers = [countingReducer()]) {
  const tokens = new ToolTokens('k'.repeat(43));
  const messages = new OutgoingMessages(codec, tokens);
  const workflows = new PostgresWorkflows({
    pool,
    codec,
    reducers,
    messages: (head, answer, context) => messages.of(head, answer, context),
  });
  const metrics = new Metrics();
  const telemetry = new OrchestratorTelemetry(log, metrics);
  const published: OutgoingMessage[] = [];
  const outbox = new Outbox({
    pool,
    schema: 'orchestrator',
    publish: (sent) => {
      published.push(...sent);
      return Promise.resolve();
    },
    isRefusal: () => false,
    onError: () => undefined,
  });
  const publish = (sent: readonly OutgoingMessage[]) => outbox.publish(sent);
  const engine = new WorkflowEngine({ workflows, reducers, messages, telemetry, publish });
  const bodies = new StoredBodies(new Blobs(pool), codec);
  const forks = new ForkSource({ workflows, bodies, reducers });
  const arrivals = new WorkflowArrivals({ bodies, forks, tokens, prices: [] });
  const timers = new WorkflowTimers({ workflows, engine, arrivals, telemetry, log });
  return { workflows, engine, timers, published, outbox, metrics };
}

function started(id: string): Arrival {
  const data = workflowRequestedSchema.parse({
    tenant: 'default',
    job_id: id,
    type: 'agent',
    params: { messages: [] },
    reply: { kind: 'job', created_at: createdAt, metadata: { a: 'b' } },
  });
  const { params: _, ...head } = data;
  return { ...arrival(id, { eventId: 'requested', type: 'requested', data }), head };
}

function signalled(id: string, n: number | string, wish = 'count'): Arrival {
  const data = workflowSignalledSchema.parse({
    tenant: 'default',
    workflow_id: id,
    created_at: createdAt,
    name: 'wish',
    signal_id: String(n),
    data: { wish },
  });
  return arrival(id, { eventId: `signal:${n}`, type: 'signalled', data });
}

function arrival(id: string, event: WorkflowEvent): Arrival {
  return {
    workflow: { tenant: 'default', id, day },
    event,
    stored: event,
    head: null,
    unparks: false,
    context: ROOT_CONTEXT,
    byOutbox: false,
  };
}

function idsOf(messages: readonly OutgoingMessage[]): string[] {
  return messages.map(outgoingMessageId);
}

async function journalOf(id: string) {
  const { rows } = await pool.query<{ version: number; event_id: string }>(
    'SELECT version, event_id FROM orchestrator.journal WHERE id = $1 ORDER BY version',
    [id],
  );
  return rows;
}

describe('workflows in Postgres', () => {
  it('fold the events of a batch into successive versions, each known from then on', async () => {
    const { engine, workflows } = replica();
    const counts = [1, 1, 2].map((n) => signalled('fold', n));
    const first = await engine.apply([started('fold'), ...counts]);
    expect(idsOf(first)).toEqual([
      'claude.requested.v1/default:fold/m1:requested',
      'jobs.progressed.v1/default:fold:1:status',
    ]);
    expect(await journalOf('fold')).toEqual([
      { version: 1, event_id: 'requested' },
      { version: 2, event_id: 'signal:1' },
      { version: 3, event_id: 'signal:2' },
    ]);
    expect(await workflows.find({ tenant: 'default', id: 'fold', day })).toMatchObject({
      version: 3,
      status: 'running',
      state: { count: 3 },
      head: { reply: { metadata: { a: 'b' } } },
    });
    await workflows.close();
  });

  it('say again what they said, as after a crash between the commit and the publish', async () => {
    const events = [started('again'), signalled('again', 1, 'call')];
    const before = replica();
    const lost = await before.engine.apply(events);
    const after = replica();
    const told = await after.engine.apply(events);
    expect(new Set(idsOf(told))).toEqual(new Set(idsOf(lost)));
    expect(told.map(({ value }) => value?.toString())).toEqual(
      expect.arrayContaining(lost.map(({ value }) => value?.toString())),
    );
    expect(await journalOf('again')).toHaveLength(2);
  });

  it('ask again for what has no answer when someone asks what became of them', async () => {
    const { engine } = replica();
    const counts = [2, 3].map((n) => signalled('silent', n));
    const call = signalled('silent', 1, 'call');
    const lost = await engine.apply([started('silent'), call, ...counts]);
    const again = await engine.apply([started('silent')]);
    expect(idsOf(again)).toEqual([
      'claude.requested.v1/default:silent/m1:requested',
      'jobs.progressed.v1/default:silent:1:status',
      'claude.requested.v1/default:silent/m2:requested',
    ]);
    const bodies = (messages: readonly OutgoingMessage[]) =>
      messages.map(({ value }) => value?.toString());
    expect(bodies(lost)).toEqual(expect.arrayContaining(bodies(again)));
  });

  it('have one writer for each version, however many race', async () => {
    const replicas = [replica(), replica(), replica()];
    const ids = Array.from({ length: 20 }, (_, i) => `race-${i}`);
    await replicas[0]?.engine.apply(ids.map(started));
    const tenTimes = Array.from({ length: 10 }, (_, n) => n);
    const events = ids.flatMap((id) => tenTimes.map((n) => signalled(id, n, 'call')));
    const told = await Promise.all(
      replicas.flatMap(({ engine }, r) =>
        Array.from({ length: 10 }, (_, n) =>
          // Each replica gets every event, in another order.
          engine.apply(events.filter((_event, i) => (i + r * 3) % 10 === n)),
        ),
      ),
    );
    const calls = new Set(told.flatMap(idsOf));
    for (const id of ids) {
      const journal = await journalOf(id);
      expect(journal.map(({ version }) => version)).toEqual(journal.map((_, i) => i + 1));
      expect(journal).toHaveLength(11);
      expect(new Set(journal.map(({ event_id }) => event_id)).size).toBe(11);
      for (let n = 2; n <= 11; n += 1) {
        expect(calls).toContain(`claude.requested.v1/default:${id}/m${n}:requested`);
      }
    }
  });

  it('drop what belongs to no workflow, and change nothing by what changes nothing', async () => {
    const { engine } = replica();
    expect(await engine.apply([signalled('nobody', 1)])).toEqual([]);
    await engine.apply([started('still'), signalled('still', 1, 'ignore')]);
    expect(await journalOf('nobody')).toEqual([]);
    expect(await journalOf('still')).toHaveLength(1);
  });

  it('put what is too large to travel into blobs, and refer to it', async () => {
    const { engine } = replica();
    const messages = await engine.apply([started('large'), signalled('large', 1, 'large')]);
    const call = messages.find((message) => outgoingMessageId(message).includes('/m2:'));
    const data = JSON.parse(call?.value?.toString() ?? '');
    expect(data.params).toBeUndefined();
    const body = await new Blobs(pool).get('default', data.params_ref);
    expect(body?.length).toBeGreaterThan(400_000);
  });

  it('have a journal that is read within a number of entries and of bytes', async () => {
    const { engine, workflows } = replica();
    const counts = Array.from({ length: 9 }, (_, n) => signalled('paged', n));
    await engine.apply([started('paged'), ...counts]);
    const name = { tenant: 'default', id: 'paged', day };
    const page = async (from: number, limit: number, bytesMax: number) => {
      const { bytes, entries, next } = await workflows.journal(name, { from, limit, bytesMax });
      return { versions: entries.map(({ version }) => version), next, bytes };
    };
    const all = await page(1, 100, 1_000_000);
    expect(all).toMatchObject({ versions: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], next: null });
    expect(await page(2, 3, 1_000_000)).toMatchObject({ versions: [2, 3, 4], next: 5 });
    expect(await page(1, 100, all.bytes - 1)).toMatchObject({ next: 10 });
    expect(await page(9, 100, 1)).toMatchObject({ versions: [9], next: 10 });
    expect(await page(11, 100, 1)).toMatchObject({ versions: [], next: null });
  });

  it('fire a timer once, by an outbox, though two processes look for it', async () => {
    const [one, two] = [replica(), replica()];
    await one.engine.apply([started('timed'), signalled('timed', 1, 'timer')]);
    for (const { outbox, timers } of [one, two]) {
      outbox.start();
      timers.start();
    }
    const isFired = async () => (await journalOf('timed')).length >= 3;
    while (!(await isFired())) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const { outbox, timers } of [one, two]) {
      await timers.stop();
      await outbox.flush();
      await outbox.stop();
    }
    expect((await journalOf('timed')).map(({ event_id }) => event_id)).toEqual([
      'requested',
      'signal:1',
      'timer:soon:2',
    ]);
    const sent = idsOf([...one.published, ...two.published]);
    expect(sent).toContain('claude.requested.v1/default:timed/m3:requested');
    const { rows } = await pool.query("SELECT FROM orchestrator.timers WHERE id = 'timed'");
    expect(rows).toEqual([]);
  });
});

describe('a statement whose plan was made before there were workflows of a day', () => {
  it.each(Object.entries({ loadSql, writeSql }))(
    'finds each by its key: %s',
    async (_name, text) => {
      const lookups = await lookupsOf(pool, text, 'workflows');
      expect(lookups.length).toBeGreaterThan(1);
      for (const { condition, index, table } of lookups) {
        expect(index).toBe(`${table}_pkey`);
        expect(condition).toContain('(id = ');
      }
    },
  );
});

describe('a workflow that cannot go on', () => {
  it('is parked alone by a bug, and goes on with what waited after a release', async () => {
    const broken = replica();
    await broken.engine.apply([
      started('poison'),
      signalled('poison', 1, 'throw'),
      signalled('poison', 2),
      started('healthy'),
      signalled('healthy', 1),
    ]);
    await broken.engine.apply([signalled('poison', 3, 'finish')]);
    const name = { tenant: 'default', id: 'poison', day };
    expect(await broken.workflows.find(name)).toMatchObject({
      version: 1,
      status: 'parked',
      parkedCode: 'internal',
    });
    expect(await journalOf('healthy')).toHaveLength(2);

    const mended = replica([countingReducer({ isMended: true })]);
    mended.outbox.start();
    mended.timers.start();
    const isDone = async () => (await mended.workflows.find(name))?.status === 'succeeded';
    while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 20));
    await mended.timers.stop();
    await mended.outbox.stop();
    expect((await journalOf('poison')).map(({ event_id }) => event_id)).toEqual([
      'requested',
      'signal:1',
      'signal:2',
      'signal:3',
    ]);
    expect(idsOf(mended.published)).toContain('jobs.finished.v1/default:poison:finished');
    const { rows } = await pool.query("SELECT FROM orchestrator.parked_events WHERE id = 'poison'");
    expect(rows).toEqual([]);
  });

  it('goes on, timers and all that waits, when a release has the next version alone', async () => {
    const name = { tenant: 'default', id: 'moved', day };
    const old = replica();
    await old.engine.apply([started('moved'), signalled('moved', 1, 'timer')]);
    await old.engine.apply([signalled('moved', 2, 'throw'), signalled('moved', 3)]);
    expect(await old.workflows.find(name)).toMatchObject({ version: 2, status: 'parked' });
    const next = replica([countingReducer({ schemaVersion: 2, migrates: true, isMended: true })]);
    next.outbox.start();
    next.timers.start();
    const isDone = async () => (await journalOf('moved')).length === 5;
    while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 20));
    await next.timers.stop();
    await next.outbox.stop();
    expect((await journalOf('moved')).map(({ event_id }) => event_id)).toEqual([
      'requested',
      'signal:1',
      'signal:2',
      'signal:3',
      'timer:soon:2',
    ]);
    expect(await next.workflows.find(name)).toMatchObject({
      status: 'running',
      schemaVersion: 2,
      state: { count: 105 },
    });
    const { entries } = await next.workflows.journal(name, range);
    expect(entries.map(({ schemaVersion }) => schemaVersion)).toEqual([1, 1, 2, 2, 2]);
  });

  it('lets what the database refuses wait alone, and goes on with the rest', async () => {
    const broken = replica();
    await broken.engine.apply([
      started('refused'),
      signalled('refused', 1),
      signalled('refused', '\u0000'),
      signalled('refused', 2, 'finish'),
    ]);
    const name = { tenant: 'default', id: 'refused', day };
    expect(await broken.workflows.find(name)).toMatchObject({ version: 2, parkedCode: 'bad_row' });

    const next = replica();
    next.timers.start();
    const isDone = async () => (await next.workflows.find(name))?.status === 'succeeded';
    while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 20));
    await next.timers.stop();
    expect((await journalOf('refused')).map(({ event_id }) => event_id)).toEqual([
      'requested',
      'signal:1',
      'signal:2',
    ]);
  });

  it('keeps request and time when its start is refused, and can be cancelled', async () => {
    const { engine, workflows } = replica();
    const start = started('unbegun');
    const event = { ...start.event, eventId: 'requested\u0000' };
    // Its time is the database's: that of this process is a year ahead.
    const ahead = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 365 * 86_400_000);
    await engine.apply([{ ...start, event, stored: event }]).finally(() => ahead.mockRestore());
    const name = { tenant: 'default', id: 'unbegun', day };
    expect(await workflows.find(name)).toMatchObject({
      version: 0,
      parkedCode: 'bad_row',
      head: { job_id: 'unbegun', reply: { metadata: { a: 'b' } } },
    });
    const timers = await pool.query(
      `SELECT name, due_at - now() < interval '25 hours' AS is_within_a_day
       FROM orchestrator.timers WHERE id = 'unbegun'`,
    );
    expect(timers.rows).toEqual([{ name: 'deadline', is_within_a_day: true }]);
    const cancel = arrival('unbegun', { eventId: 'cancel', type: 'cancel_requested' });
    await engine.apply([cancel, cancel]);
    expect((await workflows.find(name))?.parkedCode).toBeNull();
    expect(await journalOf('unbegun')).toEqual([{ version: 1, event_id: 'cancel' }]);
  });

  it('harms no other run by a state that cannot be read', async () => {
    const { engine, workflows } = replica();
    await engine.apply([started('unreadable'), started('beside')]);
    await pool.query(
      "UPDATE orchestrator.workflows SET state = '\\x00' WHERE id = 'unreadable' AND day = $1",
      [day],
    );
    await engine.apply([signalled('unreadable', 1), signalled('beside', 1)]);
    expect(await journalOf('beside')).toHaveLength(2);
    const name = { tenant: 'default', id: 'unreadable', day };
    expect(await workflows.find(name)).toMatchObject({ version: 1, parkedCode: 'internal' });
    const { rows } = await pool.query<{ state: Buffer }>(
      "SELECT state FROM orchestrator.workflows WHERE id = 'unreadable'",
    );
    expect(rows[0]?.state).toEqual(Buffer.from([0]));
  });

  it('is found however much waits, and of others, before it', async () => {
    const older = replica([countingReducer({ schemaVersion: 3 })]);
    await replica().engine.apply([started('many'), started('ahead')]);
    await older.engine.apply([
      ...Array.from({ length: 450 }, (_, n) => signalled('ahead', n)),
      ...Array.from({ length: 450 }, (_, n) => signalled('many', n)),
    ]);
    await pool.query(
      "UPDATE orchestrator.workflows SET schema_version = 9 WHERE id = 'ahead' AND day = $1",
      [day],
    );
    const next = replica();
    next.timers.start();
    const isDone = async () => (await journalOf('many')).length === 451;
    while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 20));
    await next.timers.stop();
    expect(await journalOf('ahead')).toHaveLength(1);
  });

  it('keeps all that waits in its order when the first of it fails again', async () => {
    const broken = replica();
    const name = { tenant: 'default', id: 'stuck', day };
    // More than a page of them.
    const counts = Array.from({ length: 250 }, (_, n) => signalled('stuck', `after-${n}`));
    await broken.engine.apply([started('stuck'), signalled('stuck', 'bug', 'throw'), ...counts]);
    await broken.engine.apply([started('last'), signalled('last', 1)]);
    const older = replica([countingReducer({ schemaVersion: 3 })]);
    await older.engine.apply([signalled('last', 2)]);
    const waiting = async () => {
      const { rows } = await pool.query<{ event_id: string }>(
        "SELECT event_id FROM orchestrator.parked_events WHERE id = 'stuck' ORDER BY position",
      );
      return rows.map(({ event_id }) => event_id);
    };
    const before = await waiting();
    expect(before).toHaveLength(251);
    const next = replica();
    next.timers.start();
    // It waits behind all of the others.
    const isPast = async () => (await journalOf('last')).length === 3;
    while (!(await isPast())) await new Promise((resolve) => setTimeout(resolve, 20));
    await next.timers.stop();
    expect(await next.workflows.find(name)).toMatchObject({ version: 1, parkedCode: 'internal' });
    expect(await waiting()).toEqual(before);
    const mended = replica([countingReducer({ isMended: true })]);
    mended.timers.start();
    const isDone = async () => (await journalOf('stuck')).length === 252;
    while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 20));
    await mended.timers.stop();
    const decided = (await journalOf('stuck')).map(({ event_id }) => event_id);
    expect(decided).toEqual(['requested', ...before]);
  });

  it('is parked with a code when no reducer here knows its state', async () => {
    await replica().engine.apply([started('future')]);
    const older = replica([countingReducer({ schemaVersion: 3 })]);
    expect(await older.engine.apply([signalled('future', 1)])).toEqual([]);
    const name = { tenant: 'default', id: 'future', day };
    expect(await older.workflows.find(name)).toMatchObject({
      version: 1,
      parkedCode: 'unknown_workflow_version',
    });
  });
});
