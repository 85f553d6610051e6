import {
  assertNever,
  daysAround,
  outgoingMessageId,
  PayloadCodec,
  topics,
} from '@millrace/contracts';
import {
  arrayQuery,
  GroupCommit,
  inTransaction,
  type Pool,
  type PoolClient,
} from '@millrace/postgres';
import { settleLinger, type Claimed, type ReleaseUnheld } from '@millrace/work';
import { z } from 'zod';

import {
  type Call,
  type CallCancel,
  callKey,
  type CallName,
  type CallRequest,
  laneRank,
  type SessionTurn,
} from '../core/call.ts';
import { sessionBytesMax } from '../core/session-history.ts';
import {
  CallLedger,
  type ExistingCall,
  type HeldCall,
  type History,
  type Inserted,
  type LedgerEntry,
  type NewCall,
  type NextState,
} from '../ports.ts';
import { callOfRow, decodeBody, encodeBody } from './call-rows.ts';
import * as sql from './call-statements.ts';
import { forgetSessions } from './forget-sessions.ts';
import { RecentConversations } from './recent-conversations.ts';

interface OwnedCall extends NewCall {
  readonly owner: string;
}

interface TenantTurn extends SessionTurn {
  readonly tenant: string;
}

/** Conversations that one statement reads: each may have 8 MiB, and all are held at once. */
const historiesTogetherMax = 8;
/** Statements that read them side by side. */
const historiesConcurrency = 2;

/** The ledger in Postgres. Inserts, settlements and reads of all callers share statements. */
export class PostgresCallLedger extends CallLedger {
  readonly #pool: Pool;
  readonly #codec: PayloadCodec;
  readonly #inserts: GroupCommit<OwnedCall, Inserted>;
  readonly #settlements: GroupCommit<LedgerEntry, 'settled' | 'lost'>;
  readonly #histories: GroupCommit<TenantTurn, History>;
  readonly #recent = new RecentConversations();

  constructor(options: { pool: Pool; codec: PayloadCodec }) {
    super();
    const { pool } = options;
    this.#pool = pool;
    this.#codec = options.codec;
    this.#inserts = new GroupCommit({
      name: 'worker calls',
      pool,
      keyOf: ({ request }) => request.id,
      bytesOf: ({ request }) => paramsBytes(request),
      commit: (client, calls) => this.#insert(client, calls),
    });
    this.#settlements = new GroupCommit({
      name: 'worker settlements',
      pool,
      keyOf: ({ call }) => call.id,
      bytesOf: ({ next }) => (next.kind === 'ended' ? (next.finished.value?.length ?? 0) : 0),
      linger: settleLinger,
      commit: (client, entries) => this.#settle(client, entries),
    });
    this.#histories = new GroupCommit({
      name: 'worker histories',
      pool,
      keyOf: ({ sessionId, seq, tenant }) => `${tenant}/${sessionId}/${seq}`,
      rowsMax: historiesTogetherMax,
      concurrency: historiesConcurrency,
      commit: (client, turns) => this.#readHistories(client, turns),
    });
  }

  insert(
    calls: readonly NewCall[],
    owner: string,
  ): Promise<PromiseSettledResult<Inserted>[]> {
    return this.#inserts.submitAll(calls.map((call) => ({ ...call, owner })));
  }

  async findExisting(calls: readonly CallName[]): Promise<ExistingCall[]> {
    const days = calls.map(({ day }) => day);
    const { rows } = await this.#pool.query<ExistingRow>(
      arrayQuery({
        name: 'worker_existing_calls',
        text: sql.findExistingCalls,
        values: [
          calls.map(({ tenant }) => tenant),
          calls.map(({ callId }) => callId),
          days,
          ...daysAround(days),
        ],
      }),
    );
    return rows.map((row) => this.#existing(row));
  }

  async claim({ owner, limit }: { owner: string; limit: number }): Promise<Claimed<Call>> {
    const { rows } = await this.#pool.query({
      name: 'worker_claim_calls',
      text: sql.claimCalls,
      values: [owner, limit],
    });
    const calls = rows.map((row) => callOfRow(this.#codec, row));
    if (calls.length === limit) return { rows: calls, nextDueInMs: null };
    const due = await this.#pool.query<{ in_ms: number | null }>({
      name: 'worker_next_due',
      text: sql.nextDue,
    });
    return { rows: calls, nextDueInMs: due.rows[0]?.in_ms ?? null };
  }

  settle(entry: LedgerEntry): Promise<'settled' | 'lost'> {
    return this.#settlements.submit(entry);
  }

  async noteLate(entry: LedgerEntry): Promise<void> {
    const values = unsettledColumns([entry]);
    await this.#pool.query(arrayQuery({ text: sql.noteUnsettled, values }));
  }

  async heldBy(owners: readonly string[], limit: number): Promise<HeldCall[]> {
    const { rows } = await this.#pool.query<{ seen_at: Date }>(sql.callsHeldBy, [owners, limit]);
    return rows.map((row) => ({
      call: callOfRow(this.#codec, row),
      seenAtMs: row.seen_at.getTime(),
    }));
  }

  async cancelRequested(owner: string): Promise<string[]> {
    const { rows } = await this.#pool.query<CallIdRow>(sql.callsToCancel, [owner]);
    return rows.map(({ tenant, call_id: callId }) => callKey(tenant, callId));
  }

  async requestCancel(cancels: readonly CallCancel[], owner: string): Promise<Call[]> {
    const encode = (tenant: string, body: unknown): Buffer =>
      encodeBody(this.#codec, tenant, body);
    const days = cancels.map(({ day }) => day);
    const names = [
      cancels.map(({ tenant }) => tenant),
      cancels.map(({ callId }) => callId),
      days,
    ];
    const tombstones = [
      ...names,
      cancels.map(({ session }) => session?.sessionId ?? null),
      cancels.map(({ session }) => session?.seq ?? null),
      cancels.map(({ tenant, reply }) => encode(tenant, reply)),
      cancels.map(({ tenant, origin }) => encode(tenant, origin)),
      cancels.map(({ traceparent }) => traceparent),
      cancels.map(({ tracestate }) => tracestate),
    ];
    await this.#pool.query(arrayQuery({ text: sql.insertTombstones, values: tombstones }));
    // A statement of its own: the insert's snapshot does not see a row that just beat it.
    const { rows } = await this.#pool.query(
      arrayQuery({ text: sql.requestCancel, values: [...names, ...daysAround(days), owner] }),
    );
    return rows.map((row) => callOfRow(this.#codec, row));
  }

  async takeExpired(owner: string, limit: number): Promise<Call[]> {
    const { rows } = await this.#pool.query({
      name: 'worker_take_expired_calls',
      text: sql.takeExpiredCalls,
      values: [owner, limit],
    });
    return rows.map((row) => callOfRow(this.#codec, row));
  }

  async releaseUnheld({ owner, held, ageMs }: ReleaseUnheld): Promise<number> {
    // What is held is asked for with a connection at hand: waiting for one takes seconds.
    const { rowCount } = await inTransaction(this.#pool, (client) =>
      client.query(sql.releaseUnheldCalls, [owner, held(), ageMs]),
    );
    return rowCount ?? 0;
  }

  history(tenant: string, turn: SessionTurn): Promise<History> {
    // There is nothing to read before the first turn.
    if (turn.seq === 1) return Promise.resolve({ kind: 'messages', messages: [] });
    const messages = this.#recent.before(tenant, turn);
    if (messages !== null) return Promise.resolve({ kind: 'messages', messages });
    return this.#histories.submit({ tenant, ...turn });
  }

  async forgetSessions(unusedDays: number): ReturnType<typeof forgetSessions> {
    const forgotten = await forgetSessions(this.#pool, unusedDays);
    this.#recent.clear();
    return forgotten;
  }

  async countWaiting(): Promise<number> {
    const { rows } = await this.#pool.query<{ waiting: number }>(sql.countWaiting);
    return rows[0]?.waiting ?? 0;
  }

  async close(): Promise<void> {
    await Promise.all([
      this.#inserts.close(),
      this.#settlements.close(),
      this.#histories.close(),
    ]);
  }

  async #readHistories(client: PoolClient, turns: readonly TenantTurn[]): Promise<History[]> {
    const { rows } = await client.query<TurnRow>(
      arrayQuery({
        name: 'worker_session_turns',
        text: sql.sessionTurns,
        values: [
          turns.map(({ tenant }) => tenant),
          turns.map(({ sessionId }) => sessionId),
          turns.map(({ seq }) => seq),
          sessionBytesMax,
        ],
      }),
    );
    const rowsOf = Map.groupBy(rows, ({ n }) => n);
    return turns.map((turn, i) => this.#history(turn, rowsOf.get(i + 1) ?? []));
  }

  #history({ tenant, ...turn }: TenantTurn, rows: readonly TurnRow[]): History {
    const { bytes, last_seq: lastSeq } = rows[0] ?? { bytes: 0, last_seq: 0 };
    if (lastSeq + 1 < turn.seq) return { kind: 'gap' };
    if (bytes > sessionBytesMax) return { kind: 'too_long', bytes };
    try {
      const turns = rows.map((row) =>
        row.messages === null
          ? []
          : turnSchema.parse(decodeBody(this.#codec, tenant, row.messages)),
      );
      const messages = turns.flat();
      const answered = rows.filter((row) => row.messages !== null).length;
      this.#recent.read(tenant, turn, { answered, messages, bytes });
      return { kind: 'messages', messages };
    } catch {
      // A throw would keep all conversations that are read with this one from their turns.
      return { kind: 'unreadable' };
    }
  }

  async #insert(client: PoolClient, calls: readonly OwnedCall[]): Promise<Inserted[]> {
    const requests = calls.map(({ request }) => request);
    const turns = requests.filter(({ session }) => session !== null);
    const hasTurns = turns.length > 0;
    const query = arrayQuery({
      name: hasTurns ? 'worker_insert_turns' : 'worker_insert_calls',
      text: sql.insertCalls(hasTurns),
      values: [
        ...this.#requestColumns(requests),
        calls.map(({ claim }) => claim),
        // Those who claim hold reservations, and so share one owner.
        calls.find(({ claim }) => claim)?.owner ?? null,
        ...(hasTurns ? daysOfTurns(turns) : []),
      ],
    });
    const { rows } = await client.query<InsertedRow>(query);
    const inserted = new Map<string, Inserted>();
    for (const { tenant, call_id: callId, dispatched_at: at } of rows) {
      inserted.set(
        callKey(tenant, callId),
        at === null ? { kind: 'queued' } : { kind: 'dispatched', dispatchedAtMs: at.getTime() },
      );
    }
    return requests.map(({ id }) => inserted.get(id) ?? { kind: 'existed' });
  }

  #requestColumns(requests: readonly CallRequest[]): unknown[] {
    const encode = (tenant: string, body: unknown): Buffer =>
      encodeBody(this.#codec, tenant, body);
    return [
      requests.map(({ tenant }) => tenant),
      requests.map(({ callId }) => callId),
      requests.map(({ lane }) => laneRank(lane)),
      requests.map(({ session }) => session?.sessionId ?? null),
      requests.map(({ session }) => session?.seq ?? null),
      requests.map(({ stream }) => stream),
      requests.map(({ params }) => modelIn(params)),
      requests.map(({ tenant, params }) => (params === null ? null : encode(tenant, params))),
      requests.map(({ paramsRef }) => paramsRef),
      requests.map(({ tenant, reply }) => encode(tenant, reply)),
      requests.map(({ tenant, origin }) => encode(tenant, origin)),
      requests.map(({ traceparent }) => traceparent),
      requests.map(({ tracestate }) => tracestate),
      requests.map(({ day }) => day),
      requests.map(({ expiresAtMs: at }) => (at === null ? null : new Date(at).toISOString())),
    ];
  }

  async #settle(
    client: PoolClient,
    entries: readonly LedgerEntry[],
  ): Promise<('settled' | 'lost')[]> {
    const needs = needsOf(entries);
    const turns = entries.map((entry) => this.#encodedTurn(entry));
    const days = entries.map(({ call }) => call.day);
    const { rows } = await client.query<CallIdRow>(
      arrayQuery({
        name: `worker_settle_calls_${Object.values(needs).map(Number).join('')}`,
        text: sql.settleCalls(needs),
        values: [
          ...attemptColumns(entries),
          ...this.#endColumns(entries),
          turns,
          days,
          ...daysAround(days),
          topics.jobsFinished.name,
          entries.map(workflowKey),
          topics.claudeCompleted.name,
          ...(needs.deadLetters ? deadLetterColumns(entries) : []),
        ],
      }),
    );
    const settled = new Set(rows.map((row) => callKey(row.tenant, row.call_id)));
    const unsettled = entries.filter(({ call }) => !settled.has(call.id));
    for (const id of await this.#settledBefore(client, unsettled)) settled.add(id);
    return entries.map((entry, i) => {
      const outcome = settled.has(entry.call.id) ? 'settled' : 'lost';
      this.#noteTurn(entry, outcome, turns[i]?.length ?? 0);
      return outcome;
    });
  }

  #noteTurn({ call, next }: LedgerEntry, outcome: 'settled' | 'lost', bytes: number): void {
    const { session, tenant } = call;
    if (session === null) return;
    if (outcome === 'lost') this.#recent.lost(tenant, session);
    else if (next.kind === 'ended') {
      const added = next.turn === null ? null : { messages: next.turn, bytes };
      this.#recent.ended(tenant, session, added);
    }
  }

  /** What a call's end adds to its conversation, as the table keeps it. */
  #encodedTurn({ call, next }: LedgerEntry): Buffer | null {
    if (next.kind !== 'ended' || next.turn === null) return null;
    return encodeBody(this.#codec, call.tenant, next.turn);
  }

  /** @returns the calls whose end stands there already; of the others the spend is noted. */
  async #settledBefore(
    client: PoolClient,
    unsettled: readonly LedgerEntry[],
  ): Promise<string[]> {
    if (unsettled.length === 0) return [];
    const values = unsettledColumns(unsettled);
    const { rows } = await client.query<CallIdRow>(
      arrayQuery({ text: sql.noteUnsettled, values }),
    );
    return rows.map((row) => callKey(row.tenant, row.call_id));
  }

  #endColumns(entries: readonly LedgerEntry[]): unknown[] {
    const ends = entries.map(({ next }) => (next.kind === 'ended' ? next : null));
    return [
      ends.map((end) => end?.finished.headers['ce_type'] ?? null),
      ends.map((end) => (end === null ? null : outgoingMessageId(end.finished))),
      ends.map((end) => (end === null ? null : JSON.stringify(end.finished.headers))),
      ...this.#completionColumns(entries),
      entries.map(({ call }) => call.session?.sessionId ?? null),
      entries.map(({ call }) => call.session?.seq ?? null),
    ];
  }

  /** The completion as the row keeps it, and as Kafka gets it where that is another. */
  #completionColumns(entries: readonly LedgerEntry[]): [unknown[], unknown[]] {
    const kept: (Buffer | null)[] = [];
    const sent: (Buffer | null)[] = [];
    for (const { call, next } of entries) {
      const value = next.kind === 'ended' ? next.finished.value : null;
      const place = { tenant: call.tenant, medium: 'table' } as const;
      const encoded = value === null ? null : this.#codec.encode(value, place);
      kept.push(encoded);
      sent.push(encoded === value ? null : value);
    }
    return [kept, sent];
  }

  #existing(row: ExistingRow): ExistingCall {
    const id = callKey(row.tenant, row.call_id);
    const { completion, completion_type: completionType, finished_at: finishedAt } = row;
    if (completion === null || completionType === null || finishedAt === null) {
      return { kind: 'open', id };
    }
    try {
      const bytes = this.#codec.decode(completion, { tenant: row.tenant, medium: 'table' });
      return {
        kind: 'ended',
        id,
        completionType,
        completion: bytes.toString(),
        finishedAtMs: finishedAt.getTime(),
      };
    } catch {
      return { kind: 'unreadable', id };
    }
  }
}

const turnSchema = z.array(z.unknown());

interface TurnRow {
  /** Place of the turn that was asked for, from 1. */
  readonly n: number;
  readonly bytes: number;
  readonly messages: Buffer | null;
  readonly last_seq: number;
}

interface CallIdRow {
  readonly tenant: string;
  readonly call_id: string;
}

interface InsertedRow extends CallIdRow {
  readonly dispatched_at: Date | null;
}

interface ExistingRow extends CallIdRow {
  readonly completion_type: string | null;
  readonly completion: Buffer | null;
  readonly finished_at: Date | null;
}

function modelIn(params: CallRequest['params']): string | null {
  const model = params?.['model'];
  return typeof model === 'string' ? model : null;
}

/** About the size of a call's row: its longest part, without writing it out. */
function paramsBytes({ params }: CallRequest): number {
  const messages = params?.['messages'];
  if (!Array.isArray(messages)) return 1_024;
  let bytes = 1_024;
  for (const { content } of messages) bytes += typeof content === 'string' ? content.length : 8_192;
  return bytes;
}

function stateOf(next: NextState): string {
  return next.kind === 'ended' ? next.state : 'QUEUED';
}

/** What was no attempt leaves its number to the next one. */
function nextAttempt({ call, next }: LedgerEntry): number {
  const wasNone =
    next.kind === 'unsent' || (next.kind === 'again' && next.counts === 'no_attempt');
  return wasNone ? call.attempt - 1 : call.attempt;
}

function counted(next: NextState, what: 'failure' | 'redispatch'): number {
  switch (next.kind) {
    case 'again':
      return next.counts === what ? 1 : 0;
    case 'ended':
    case 'unsent':
      return 0;
    default:
      return assertNever(next);
  }
}

/** The key of a completion that goes to a workflow; null for those that end jobs. */
function workflowKey({ call, next }: LedgerEntry): string | null {
  return call.reply.kind === 'workflow' && next.kind === 'ended' ? next.finished.key : null;
}

function attemptColumns(entries: readonly LedgerEntry[]): unknown[] {
  return [
    entries.map(({ call }) => call.tenant),
    entries.map(({ call }) => call.callId),
    entries.map(({ call }) => call.owner),
    entries.map(({ call }) => call.attempt),
    entries.map(({ next }) => stateOf(next)),
    entries.map(nextAttempt),
    entries.map(({ call, next }) => call.failures + counted(next, 'failure')),
    entries.map(({ call, next }) => call.redispatches + counted(next, 'redispatch')),
    entries.map(({ next }) => (next.kind === 'ended' ? null : next.delayMs)),
    entries.map(({ endedAtMs }) => endedAtMs),
    entries.map(({ attempt }) => attempt?.outcome ?? null),
    entries.map(({ attempt }) => attempt?.code ?? null),
    entries.map(({ attempt }) => attempt?.source.httpStatus ?? null),
    entries.map(({ attempt }) => attempt?.source.requestId ?? null),
  ];
}

function unsettledColumns(entries: readonly LedgerEntry[]): unknown[] {
  return [
    entries.map(({ call }) => call.tenant),
    entries.map(({ call }) => call.callId),
    entries.map(({ call }) => call.owner),
    entries.map(({ call }) => call.attempt),
    entries.map(({ next }) => stateOf(next)),
    entries.map(({ endedAtMs }) => endedAtMs),
    entries.map(({ attempt }) => attempt?.source.httpStatus ?? null),
    entries.map(({ attempt }) => attempt?.source.requestId ?? null),
    entries.map(({ model }) => model),
    entries.map(({ usage }) => (usage === null ? null : JSON.stringify(usage))),
    entries.map(({ call }) => call.day),
  ];
}

function needsOf(entries: readonly LedgerEntry[]): sql.SettleNeeds {
  const ends = entries.flatMap(({ next }) => (next.kind === 'ended' ? [next] : []));
  return {
    attempts: ends.length < entries.length,
    sessions: entries.some(({ call }) => call.session !== null),
    deadLetters: ends.some(({ deadLetter }) => deadLetter !== null),
  };
}

function deadLetterColumns(entries: readonly LedgerEntry[]): unknown[] {
  const dead = entries.flatMap(({ call, next }) =>
    next.kind === 'ended' && next.deadLetter !== null
      ? [{ call, message: next.deadLetter }]
      : [],
  );
  return [
    dead.map(({ call }) => call.tenant),
    dead.map(({ call }) => call.callId),
    dead.map(({ message }) => outgoingMessageId(message)),
    dead.map(({ message }) => message.topic),
    dead.map(({ message }) => message.key),
    dead.map(({ message }) => JSON.stringify(message.headers)),
    dead.map(({ message }) => message.value),
  ];
}

/**
 * Days on which calls of these turns' conversations may lie. A workflow's have the day of its job;
 * a session may go on for years, and its turns may have waited since any day.
 */
function daysOfTurns(turns: readonly CallRequest[]): readonly [first: string, last: string] {
  if (turns.some(({ reply }) => reply.kind !== 'workflow')) return ['-infinity', 'infinity'];
  return daysAround(turns.map(({ day }) => day));
}
