import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { conversationIdSchema, IdentityPayloadCodec, jobIdSchema } from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import {
  changedMeanwhile,
  createTestDatabase,
  lookupsOf,
  type TestDatabase,
} from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { CallCompletions } from '../call-completions.ts';
import { type Call, callKey, firstAttempt } from '../core/call.ts';
import { sampleCallRequest } from '../core/sample-call.ts';
import { sessionBytesMax } from '../core/session-history.ts';
import type { LedgerEntry } from '../ports.ts';
import { findExistingCalls, requestCancel, settleCalls } from './call-statements.ts';
import { PostgresCallLedger } from './postgres-call-ledger.ts';

/** Tells torn bytes, as one that decrypts does. */
class CheckingCodec extends IdentityPayloadCodec {
  override decode(body: Buffer): Buffer {
    if (body.toString() === 'torn') throw new TypeError('these bytes are not whole');
    return body;
  }
}

const codec = new CheckingCodec();
const owner = 'owner';
const request = sampleCallRequest;

let database: TestDatabase;
let pool: Pool;
let ledger: PostgresCallLedger;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  ledger = new PostgresCallLedger({ pool, codec });
}, 60_000);

beforeEach(async () => {
  await pool.query('TRUNCATE worker.calls, worker.outbox, worker.late_usage');
});

afterAll(async () => {
  await ledger.close();
  await pool.end();
  await database.drop();
});

async function dispatched(of = request): Promise<Call> {
  const [result] = await ledger.insert([{ request: of, claim: true }], owner);
  if (result?.status !== 'fulfilled' || result.value.kind !== 'dispatched') {
    throw new TypeError('the call was not dispatched');
  }
  return firstAttempt(of, owner, result.value.dispatchedAtMs);
}

function named(name: string): typeof request {
  const callId = jobIdSchema.parse(name);
  return { ...request, callId, id: callKey('default', callId) };
}

function answered(
  call: Call,
  requestId: string,
  turn: readonly unknown[] | null = null,
): Promise<LedgerEntry> {
  const blobs = { put: () => Promise.resolve(), get: () => Promise.resolve(null) };
  const usage = { input_tokens: 1, output_tokens: 2 };
  const message = { type: 'message', content: [], stop_reason: 'end_turn', usage };
  const source = { httpStatus: 200, requestId, standIn: false };
  const attempt = { outcome: 'succeeded', code: null, source } as const;
  return new CallCompletions({ blobs, codec }).entryOf({
    call,
    settlement: { kind: 'succeeded', message, attempt },
    endedAtMs: call.dispatchedAtMs + 0.123,
    context: ROOT_CONTEXT,
    turn,
  });
}

describe('the ledger', () => {
  it('takes an end that is written twice for one, and for late what came after it', async () => {
    const call = await dispatched();
    const entry = await answered(call, 'req_1');
    expect(await ledger.settle(entry)).toBe('settled');
    expect(await ledger.settle(entry)).toBe('settled');
    expect((await pool.query('SELECT FROM worker.late_usage')).rowCount).toBe(0);
    expect((await pool.query('SELECT FROM worker.outbox')).rowCount).toBe(1);
    expect(await ledger.settle(await answered(call, 'req_2'))).toBe('lost');
    expect((await pool.query('SELECT request_id FROM worker.late_usage')).rows).toEqual([
      { request_id: 'req_2' },
    ]);
  });

  it('settles what is cancelled while it waits for it, and what comes after it', async () => {
    const calls = await Promise.all([dispatched(named('job-1')), dispatched(named('job-2'))]);
    const entries = await Promise.all(calls.map((call) => answered(call, 'req_1')));
    const settled = await changedMeanwhile({
      url: database.adminUrl,
      change: `UPDATE worker.calls SET cancel_requested = true WHERE call_id = 'job-1'`,
      work: () => Promise.all(entries.map((entry) => ledger.settle(entry))),
    });
    expect(settled).toEqual(['settled', 'settled']);
  });

  it('cancels what is put back while it waits for it, and what comes after it', async () => {
    await Promise.all([dispatched(named('job-1')), dispatched(named('job-2'))]);
    const taken = await changedMeanwhile({
      url: database.adminUrl,
      change: `UPDATE worker.calls SET state = 'QUEUED', owner = NULL WHERE call_id = 'job-1'`,
      work: () => ledger.requestCancel([named('job-1'), named('job-2')], owner),
    });
    expect(taken).toMatchObject([{ callId: 'job-1' }]);
    const asked = await ledger.cancelRequested(owner);
    expect(asked.sort()).toEqual(['default/job-1', 'default/job-2']);
  });

  it('tells of an end that is broken, and of those beside it whole', async () => {
    const call = await dispatched();
    await ledger.settle(await answered(call, 'req_1'));
    const existing = () => ledger.findExisting([call]);
    expect(await existing()).toMatchObject([{ kind: 'ended', id: call.id }]);
    await pool.query(`UPDATE worker.calls SET completion = 'torn'`);
    expect(await existing()).toEqual([{ kind: 'unreadable', id: call.id }]);
  });

  it('puts back what its process does not know of, unless it may be on its way', async () => {
    const { id } = await dispatched();
    const aged = (seconds: number) =>
      pool.query(`UPDATE worker.calls SET dispatched_at = now() - $1 * interval '1 s'`, [seconds]);
    await aged(40);
    expect(await ledger.releaseUnheld({ owner, held: () => [], ageMs: 45_000 })).toBe(0);
    await aged(50);
    expect(await ledger.releaseUnheld({ owner, held: () => [id], ageMs: 45_000 })).toBe(0);
    expect(await ledger.releaseUnheld({ owner, held: () => [], ageMs: 45_000 })).toBe(1);
  });

  it('tells of broken bodies, and reads the rows beside them whole', async () => {
    const calls = ['job-1', 'job-2', 'job-3', 'job-4'].map(named);
    await ledger.insert(calls.map((call) => ({ request: call, claim: false })), owner);
    await pool.query(`UPDATE worker.calls SET params = '{"torn' WHERE call_id = 'job-2'`);
    await pool.query(`UPDATE worker.calls SET reply = '[]', origin = '' WHERE call_id = 'job-3'`);
    const told = { 'job-1': [], 'job-2': ['params'], 'job-3': ['reply', 'origin'], 'job-4': [] };
    const read = (rows: readonly Call[]) =>
      Object.fromEntries(rows.map(({ callId, unreadable }) => [callId, unreadable]));
    const claimed = await ledger.claim({ owner, limit: 4 });
    expect(read(claimed.rows)).toEqual(told);
    const bare = claimed.rows.find(({ callId }) => callId === 'job-3');
    expect(bare?.reply).toEqual({ kind: 'job', created_at: `${request.day}T00:00:00.000Z` });
    expect(read((await ledger.heldBy([owner], 4)).map(({ call }) => call))).toEqual(told);
    await pool.query(`UPDATE worker.calls SET state = 'QUEUED', owner = NULL, expires_at = now()`);
    expect(read(await ledger.takeExpired(owner, 4))).toEqual(told);
  });
});

describe('a statement whose plan was made before there were calls of a day', () => {
  const settleAll = settleCalls({ attempts: true, sessions: true, deadLetters: true });
  it.each(Object.entries({ settleAll, findExistingCalls, requestCancel }))(
    'finds each by its key: %s',
    async (_name, text) => {
      const lookups = await lookupsOf(pool, text, 'calls');
      expect(lookups.length).toBeGreaterThan(1);
      for (const { condition, index, table } of lookups) {
        expect(index).toBe(`${table}_pkey`);
        expect(condition).toContain('(call_id = ');
      }
    },
  );
});

describe('a turn of a session', () => {
  const readThrough = async () => {
    await pool.query('SELECT pg_stat_force_next_flush()');
    const { rows } = await pool.query(
      `SELECT sum(seq_tup_read)::int AS count FROM pg_stat_user_tables WHERE schemaname = 'worker'
        AND relname LIKE 'calls%'`,
    );
    return rows[0].count;
  };

  it('is inserted without reading what others wait for', async () => {
    const others = Array.from({ length: 200 }, (_, n) => named(`other-${n}`));
    await ledger.insert(others.map((call) => ({ request: call, claim: false })), owner);
    const before = await readThrough();
    const session = { sessionId: conversationIdSchema.parse('job-1/s'), seq: 1 };
    const turn = { request: { ...request, session }, claim: true };
    const [result] = await ledger.insert([turn], owner);
    expect(result).toMatchObject({ status: 'fulfilled', value: { kind: 'dispatched' } });
    expect(await readThrough()).toBe(before);
  });
});

describe('conversations that are read together', () => {
  const said = (text: string) => [{ role: 'user', content: text }];
  const history = (session: string, seq: number) =>
    ledger.history('default', { sessionId: conversationIdSchema.parse(session), seq });

  it('are each its own: as it was before the turn, too long, torn or with a gap', async () => {
    const turns = [
      ['torn/s', 1, said('whole')],
      ['short/s', 1, said('one')],
      ['short/s', 2, said('two')],
      ['short/s', 3, said('three')],
      ['long/s', 1, said('x'.repeat(sessionBytesMax))],
    ] as const;
    for (const [session, seq, messages] of turns) {
      await pool.query(`INSERT INTO worker.session_turns VALUES ('default', $1, $2, $3)`, [
        session,
        seq,
        Buffer.from(JSON.stringify(messages)),
      ]);
    }
    await pool.query(`INSERT INTO worker.sessions VALUES
      ('default', 'short/s', 3), ('default', 'long/s', 1), ('default', 'failed/s', 2),
      ('default', 'torn/s', 1)`);
    await pool.query(`UPDATE worker.session_turns SET messages = '[' WHERE session_id = 'torn/s'`);
    const read = await Promise.all([
      history('torn/s', 2),
      history('short/s', 1),
      history('short/s', 3),
      history('long/s', 2),
      history('failed/s', 3),
      history('failed/s', 4),
      history('new/s', 2),
      history('short/s', 3),
      // More than one statement takes.
      ...Array.from({ length: 10 }, (_, i) => history(`new-${i}/s`, 2)),
    ]);
    const whole = { kind: 'messages', messages: [...said('one'), ...said('two')] };
    expect(read.slice(0, 8)).toEqual([
      { kind: 'unreadable' },
      { kind: 'messages', messages: [] },
      whole,
      { kind: 'too_long', bytes: expect.any(Number) },
      { kind: 'messages', messages: [] },
      { kind: 'gap' },
      { kind: 'gap' },
      whole,
    ]);
    expect(new Set(read.slice(8).map(({ kind }) => kind))).toEqual(new Set(['gap']));
  });

  it('are not read again for the turn after one that ended here, and are the same', async () => {
    const sessionId = conversationIdSchema.parse('talk');
    const call = await dispatched({ ...request, session: { sessionId, seq: 1 } });
    const turn = said('one');
    expect(await ledger.settle(await answered(call, 'req_1', turn))).toBe('settled');
    const elsewhere = new PostgresCallLedger({ pool, codec });
    const whole = { kind: 'messages', messages: turn };
    expect(await elsewhere.history('default', { sessionId, seq: 2 })).toEqual(whole);
    await elsewhere.close();
    await pool.query('TRUNCATE worker.session_turns, worker.sessions');
    expect(await history('talk', 2)).toEqual(whole);
    expect(await history('talk', 3)).toEqual({ kind: 'gap' });
  });
});
