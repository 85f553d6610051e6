import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  assertNever,
  type ClaudeCancelRequested,
  type ClaudeRequested,
  claudeRequestedSchema,
  IdentityPayloadCodec,
  type JobFinished,
  jobFinishedSchema,
  topics,
} from '@millrace/contracts';
import type { EventRecord } from '@millrace/kafka';
import { Blobs, createPool, type Pool } from '@millrace/postgres';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { createTestDatabase, PostgresProxy, type TestDatabase } from '@millrace/testing';
import { LeaseLost, WorkCancelled } from '@millrace/work';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import fc from 'fast-check';

import { PostgresBacklogs } from './adapters/postgres-backlogs.ts';
import { PostgresCallLedger } from './adapters/postgres-call-ledger.ts';
import { CallWorker } from './call-worker.ts';
import { ClaudeRequestsConsumer } from './claude-requests.consumer.ts';
import { retriesMax } from './core/backoff.ts';
import { type ClaudeAnswer, noSource } from './core/claude-answer.ts';
import {
  CallExpired,
  ClaudeApi,
  type ClaudeSend,
  DeadlinePassed,
  type Inserted,
  type LedgerEntry,
  type NewCall,
} from './ports.ts';

/**
 * Two workers over one ledger, against a model of what a call's life may be. Every event comes
 * twice, in slices; answers, workers, leases and Postgres' answers are lost on the way. Postgres
 * itself writes down every change of a row. The bugs below show that the model sees.
 */
const campaign = { seed: 20_261_129, numRuns: 15, stepsMax: 30 };

jest.setTimeout(120_000);

/** A zombie does not know for a third of it that its lease is over. */
const leaseMs = 1_500;
/** What is put back is due again after 50 ms, whatever this is. */
const retryBaseMs = 5;
/** Runs are answered before a stop, or lost. */
const stopMs = 400;

type How = 'ok' | 'overloaded' | 'rejected' | 'cut';

interface CallPlan {
  readonly session: 'a' | 'b' | null;
  readonly dueInMs: number | null;
  readonly cancel: 'never' | 'before' | 'beside' | 'later';
}

type Step =
  | { readonly kind: 'deliver'; readonly to: 0 | 1 | 'both'; readonly count: number }
  | { readonly kind: 'answer'; readonly pick: number; readonly how: How }
  | { readonly kind: 'die'; readonly worker: number }
  | { readonly kind: 'lose-lease'; readonly worker: number; readonly how: How }
  | {
      readonly kind: 'break';
      readonly worker: number;
      readonly lost: 'answer' | 'statement';
      readonly of: string;
    }
  | { readonly kind: 'wait'; readonly ms: number };

interface Plan {
  readonly calls: readonly CallPlan[];
  /** How much later each event comes again. */
  readonly again: readonly number[];
  readonly steps: readonly Step[];
}

const hows = fc.constantFrom<How[]>('ok', 'ok', 'overloaded', 'rejected', 'cut');
const workerNumbers = fc.nat({ max: 1 });
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('deliver' as const),
        to: fc.constantFrom(0 as const, 1 as const, 'both' as const),
        count: fc.integer({ min: 1, max: 5 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('answer' as const), pick: fc.nat(20), how: hows }),
    },
    fc.record({ kind: fc.constant('die' as const), worker: workerNumbers }),
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('lose-lease' as const),
        worker: workerNumbers,
        how: hows,
      }),
    },
    fc.record({
      kind: fc.constant('break' as const),
      worker: workerNumbers,
      lost: fc.constantFrom('answer' as const, 'statement' as const),
      of: fc.constantFrom(
        'worker_insert_',
        'worker_claim_calls',
        'worker_settle_calls',
        'WITH asked AS',
      ),
    }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(5, 20, 60, 100) }),
  ),
  { minLength: 12, maxLength: campaign.stepsMax },
);
const plans: fc.Arbitrary<Plan> = fc.record({
  calls: fc.array(
    fc.record({
      session: fc.constantFrom('a' as const, 'b' as const, null, null),
      dueInMs: fc.constantFrom(null, null, null, -1_000, 150, 400),
      cancel: fc.constantFrom(
        'never' as const,
        'never' as const,
        'before' as const,
        'beside' as const,
        'later' as const,
      ),
    }),
    { minLength: 3, maxLength: 9 },
  ),
  again: fc.array(fc.nat(30), { minLength: 18, maxLength: 18 }),
  steps,
});

type Request = EventRecord<ClaudeRequested>;
type Cancel = EventRecord<ClaudeCancelRequested>;
type Delivered = Request | Cancel;

/** What the spec puts a bug into. */
interface Parts {
  readonly Ledger: typeof PostgresCallLedger;
  /** What of a slice reaches the consumer. */
  readonly consumed: (slice: readonly Delivered[]) => readonly Delivered[];
}

/** A change of a row as a trigger saw it. */
interface Change {
  readonly call_id: string;
  readonly before: string | null;
  readonly after: string;
  /** Of what is dispatched: it was not cancelled, and its time had not passed. */
  readonly may_be_sent: boolean;
}

interface Send {
  readonly callId: string;
  readonly owner: string;
  /** What the user said in it, oldest first. */
  readonly said: readonly string[];
  /** Its text when it is answered with a message. */
  readonly text: string;
  readonly end: (how: How) => void;
}

let database: TestDatabase;
let sql: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  sql = createPool({ url: database.adminUrl, max: 4, applicationName: 'call-model' });
  await sql.query(`
    CREATE SCHEMA model;
    CREATE TABLE model.changes (
      nth bigint GENERATED ALWAYS AS IDENTITY, call_id text, before text, after text,
      may_be_sent boolean);
    CREATE FUNCTION model.write_down() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO model.changes (call_id, before, after, may_be_sent) VALUES (
        new.call_id, CASE TG_OP WHEN 'UPDATE' THEN old.state END, new.state,
        NOT new.cancel_requested AND coalesce(new.expires_at > new.dispatched_at, true));
      RETURN NULL;
    END $$;
    CREATE TRIGGER write_down AFTER INSERT OR UPDATE OF state, owner, attempt, completion
      ON worker.calls FOR EACH ROW EXECUTE FUNCTION model.write_down();`);
});

afterAll(async () => {
  await sql.end();
  await database.drop();
});

/** One worker, all that it writes to Postgres going by a proxy of its own. */
class Member {
  private constructor(
    private readonly world: World,
    readonly proxy: PostgresProxy,
    readonly worker: CallWorker,
    readonly consumer: ClaudeRequestsConsumer,
    private readonly pool: Pool,
  ) {}

  static async start(world: World, { Ledger }: Parts): Promise<Member> {
    const proxy = await PostgresProxy.start(database.url('claude_worker'));
    const pool = createPool({ url: proxy.url, max: 10, applicationName: 'call-model worker' });
    const codec = new IdentityPayloadCodec();
    const log = new SilentLogger();
    const worker: CallWorker = new CallWorker({
      api: new ModelApi((send) => world.send(send, worker.queue.owner)),
      ledger: new Ledger({ pool, codec }),
      backlogs: new PostgresBacklogs(pool),
      blobs: new Blobs(pool),
      codec,
      pool,
      log,
      metrics: new Metrics(),
      publish: (messages) => {
        for (const { key, value } of messages) world.tell(String(key), String(value));
        return Promise.resolve();
      },
      publishProgress: () => Promise.resolve(),
      deadlines: { firstEventMs: 60_000, progressMs: 60_000, totalMs: 60_000 },
      limits: { retryBaseMs, redispatchMax: 1 },
      sessionRetentionDays: 90,
      inFlightMax: 6,
      leaseMs,
      deltaLingerMs: 0,
      stopMs,
      stoppingMs: () => 0,
    });
    await worker.start();
    return new Member(world, proxy, worker, new ClaudeRequestsConsumer(worker, log), pool);
  }

  async stop(): Promise<void> {
    if (this.proxy.cuts > 0) this.world.happened.add('a lost answer');
    if (this.proxy.resets > 0) this.world.happened.add('a lost statement');
    await this.worker.stop();
    await this.pool.end();
    await this.proxy.stop();
  }
}

class ModelApi extends ClaudeApi {
  constructor(private readonly onSend: (send: ClaudeSend) => Promise<ClaudeAnswer>) {
    super();
  }

  send(send: ClaudeSend): Promise<ClaudeAnswer> {
    return this.onSend(send);
  }
}

/** The workers, what was sent and told, and what a call's life may be. */
class World {
  readonly wrongs: string[] = [];
  private readonly members: Member[] = [];
  private readonly stopping: Promise<void>[] = [];
  private readonly requests: readonly ClaudeRequested[];
  private readonly coming: Delivered[];
  private readonly sends: Send[] = [];
  private readonly open = new Set<Send>();
  private readonly answered: { readonly callId: string; readonly how: How }[] = [];
  /** Sends that were open when their calls were taken from their owner. */
  private readonly reaped = new Set<Send>();
  private readonly seen = new Set<string>();
  /** Calls whose cancel came before anything else of them, or beside it. */
  private readonly cancelledFirst = new Set<string>();
  private readonly cancelled = new Set<string>();
  private readonly told = new Map<string, Set<string>>();
  private isClosing = false;

  constructor(
    private readonly plan: Plan,
    private readonly parts: Parts,
    readonly happened: Set<string>,
  ) {
    this.requests = requestsOf(plan.calls, Date.now());
    this.coming = streamOf(plan, this.requests);
  }

  async begin(): Promise<void> {
    await sql.query(`TRUNCATE worker.calls, worker.attempts, worker.outbox, worker.late_usage,
      worker.sessions, worker.session_turns, worker.processes, model.changes`);
    await Promise.all([this.join(0), this.join(1)]);
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'deliver':
        return this.deliver(this.coming.splice(0, step.count), step.to);
      case 'answer':
        return pickOf([...this.open], step.pick)?.end(step.how);
      case 'die':
        return this.die(step.worker);
      case 'lose-lease':
        return this.loseLease(step.worker, step.how);
      case 'break':
        return this.break(step);
      case 'wait':
        return void (await sleep(step.ms));
      default:
        assertNever(step);
    }
  }

  /** All faults are over: every call must end. */
  async close(): Promise<void> {
    this.isClosing = true;
    for (const send of this.open) send.end('ok');
    for (const { proxy } of this.members) {
      for (const breaks of [proxy.cutAfter, proxy.resetAt]) breaks.call(proxy, 'no such statement');
    }
    while (this.coming.length > 0) await this.deliver(this.coming.splice(0, 5), 'both');
    // What a lost answer left with nobody is reaped.
    for (const number of [0, 1]) await this.replace(number);
    const openCalls = `SELECT FROM worker.calls WHERE completion IS NULL`;
    await until(async () => (await sql.query(openCalls)).rowCount === 0);
  }

  async leave(): Promise<void> {
    this.isClosing = true;
    for (const send of this.open) send.end('ok');
    this.stopping.push(...this.members.map((member) => member.stop()));
    await Promise.all(this.stopping);
  }

  tell(key: string, value: string): void {
    this.told.set(key, (this.told.get(key) ?? new Set()).add(value));
  }

  send({ params, signal }: ClaudeSend, owner: string): Promise<ClaudeAnswer> {
    const said = saidIn(params);
    const callId = said.at(-1) ?? '';
    const nth = this.sends.length + 1;
    return new Promise((resolve) => {
      const over = (answer: ClaudeAnswer): void => {
        if (this.open.delete(send)) resolve(answer);
      };
      const end = (how: How): void => {
        if (this.open.has(send)) this.answered.push({ callId, how });
        over(answerOf(how, send.text, nth));
      };
      const send: Send = { callId, owner, said, text: `answer ${nth} to ${callId}`, end };
      this.sends.push(send);
      this.open.add(send);
      signal.addEventListener('abort', () => over(answerOfAbort(signal.reason)));
      if (this.isClosing) end('ok');
    });
  }

  async judge(): Promise<readonly string[]> {
    const { rows: changes } = await sql.query<Change>('SELECT * FROM model.changes ORDER BY nth');
    const { rows } = await sql.query<{ call_id: string; completion: Buffer }>(
      'SELECT call_id, completion FROM worker.calls',
    );
    const outbox = await sql.query<{ key: string; value: Buffer }>(
      'SELECT key, value FROM worker.outbox',
    );
    for (const { key, value } of outbox.rows) this.tell(key, value.toString());
    const ends = new Map(rows.map((row) => [row.call_id, row.completion.toString()]));
    this.requests.forEach((request, i) => {
      const stored = ends.get(request.call_id) ?? '{}';
      const told = [...(this.told.get(request.call_id) ?? [])];
      if (told.length !== 1 || told[0] !== stored) this.wrong(request, `told ${told.join(' & ')}`);
      this.judgeLife(request, changes.filter(({ call_id: id }) => id === request.call_id));
      this.judgeEnd(request, { plan: this.plan.calls[i], end: endIn(stored) });
    });
    for (const session of ['a', 'b']) this.judgeSession(session, changes, ends);
    return this.wrongs;
  }

  private judgeLife(request: ClaudeRequested, life: readonly Change[]): void {
    const ends = life.filter(({ after }) => isEnd(after));
    if (ends.length !== 1) this.wrong(request, `ended ${ends.length} times`);
    if (!isEnd(life.at(-1)?.after)) this.wrong(request, 'changed after its end');
    const sendable = life.filter((change) => isDispatch(change) && change.may_be_sent).length;
    const sends = this.sendsOf(request).length;
    if (sends > sendable) this.wrong(request, `${sends} sends, ${sendable} of them allowed`);
  }

  private judgeEnd(
    request: ClaudeRequested,
    { end, plan }: { plan: CallPlan | undefined; end: JobFinished },
  ): void {
    const sends = this.sendsOf(request);
    this.happened.add(end.status);
    // 1 + unknown + failed: the last attempt is told, too.
    const outcomes = (end.attempts ?? []).map(({ outcome }) => outcome);
    if (sends.length > outcomes.length) {
      this.wrong(request, `${sends.length} sends, told ${outcomes.join()}`);
    }
    const isUnsent = plan?.dueInMs !== null && (plan?.dueInMs ?? 0) < 0;
    if (isUnsent && sends.length > 0) this.wrong(request, 'was sent after its time');
    if (this.cancelledFirst.has(request.call_id)) {
      if (sends.length > 0) this.wrong(request, 'was sent after its cancel');
      if (end.status !== 'cancelled') this.wrong(request, `was cancelled, and ${end.status}`);
    }
    if (!this.isLegal(request, end, plan)) this.wrong(request, `ended as ${JSON.stringify(end)}`);
  }

  /** Whether something happened that a call may end by in this way. */
  private isLegal(
    request: ClaudeRequested,
    { attempts = [], error, result, status }: JobFinished,
    plan: CallPlan | undefined,
  ): boolean {
    const answers = this.answered.filter(({ callId }) => callId === request.call_id);
    const count = (...hows: How[]): number =>
      answers.filter(({ how }) => hows.includes(how)).length;
    switch (status) {
      case 'succeeded': {
        const send = this.sendsOf(request).find(({ text }) => text === result);
        return send !== undefined && !this.reaped.has(send);
      }
      case 'cancelled':
        return this.cancelled.has(request.call_id);
      case 'expired':
        return plan?.dueInMs !== null;
      case 'failed':
        if (error?.code === 'rejected_by_claude') return count('rejected') > 0;
        if (error?.code === 'retries_exhausted') return count('overloaded', 'cut') > retriesMax;
        if (error?.code !== 'outcome_unknown') return false;
        return attempts.filter(({ code }) => code === 'interrupted').length > 1;
      default:
        return assertNever(status);
    }
  }

  /** Its turns run and end one after the other, and each is told those before it that succeeded. */
  private judgeSession(
    session: string,
    changes: readonly Change[],
    ends: ReadonlyMap<string, string>,
  ): void {
    const turns = this.requests.filter(({ session_id: id }) => id === session);
    const places = new Map<string, number>(turns.map(({ call_id: id }, i) => [id, i]));
    let ended = 0;
    for (const change of changes) {
      const place = places.get(change.call_id);
      if (place === undefined || change.after === 'QUEUED') continue;
      if (place !== ended) this.wrongs.push(`${session}: ${change.call_id} out of its turn`);
      if (isEnd(change.after)) ended += 1;
    }
    const succeeded: string[] = [];
    for (const turn of turns) {
      const expected = [...succeeded, turn.call_id].join();
      for (const { said } of this.sendsOf(turn)) {
        if (said.join() !== expected) this.wrong(turn, `said ${said.join()}, not ${expected}`);
      }
      const end = endIn(ends.get(turn.call_id) ?? '{}');
      if (end.status === 'succeeded') succeeded.push(turn.call_id);
    }
  }

  private sendsOf({ call_id: id }: ClaudeRequested): readonly Send[] {
    return this.sends.filter(({ callId }) => callId === id);
  }

  private wrong({ call_id: id }: ClaudeRequested, what: string): void {
    this.wrongs.push(`${id} ${what}`);
  }

  /** Until it is taken, as Kafka does: by the other worker, too. */
  private async deliver(slice: readonly Delivered[], to: 0 | 1 | 'both'): Promise<void> {
    const cancels = slice.filter(({ type }) => type !== requestedType).map(idOf);
    for (const id of cancels) if (!this.seen.has(id)) this.cancelledFirst.add(id);
    for (const record of slice) this.seen.add(idOf(record));
    for (const id of cancels) this.cancelled.add(id);
    const numbers = to === 'both' ? [0, 1] : [to];
    await Promise.all(numbers.map((number) => this.handle(slice, number)));
    const unheard = await sql.query<{ call_id: string }>(
      `SELECT call_id FROM worker.calls
       WHERE call_id = ANY($1::text[]) AND completion IS NULL AND NOT cancel_requested`,
      [cancels],
    );
    for (const { call_id: id } of unheard.rows) this.wrongs.push(`the cancel of ${id} was dropped`);
  }

  private async handle(slice: readonly Delivered[], first: number): Promise<void> {
    const consumed = this.parts.consumed(slice);
    for (let tries = 0; tries < 20; tries += 1) {
      try {
        const { consumer } = this.member((first + tries) % 2);
        const { deadLetters = [], publish = [] } = await consumer.handle(consumed);
        for (const { key, value } of publish) this.tell(String(key), String(value));
        if (deadLetters.length > 0) this.wrongs.push('a request is a dead letter');
        return;
      } catch {
        await sleep(5);
      }
    }
    throw new Error('a slice was never taken');
  }

  private break({ lost, of, worker }: Extract<Step, { kind: 'break' }>): void {
    const { proxy } = this.member(worker);
    if (lost === 'answer') proxy.cutAfter(of);
    else proxy.resetAt(of);
  }

  /** Nothing that it does from now on is written; another takes its place. */
  private async die(number: number): Promise<void> {
    this.member(number).proxy.refuse();
    await this.replace(number);
  }

  private async replace(number: number): Promise<void> {
    const member = this.member(number);
    const { owner } = member.worker.queue;
    this.stopping.push(member.stop());
    await this.join(number);
    await this.endLease(owner, this.member(number));
  }

  /** By the database's clock: its process goes on for a while as if nothing were. */
  private async loseLease(number: number, how: How): Promise<void> {
    const { owner } = this.member(number).worker.queue;
    await this.endLease(owner, this.member(1 - number));
    await this.takenAgain();
    for (const send of this.reaped) send.end(how);
  }

  private async endLease(owner: string, reaper: Member): Promise<void> {
    const held = [...this.open].filter((send) => send.owner === owner);
    await sql.query(
      `UPDATE worker.processes SET lease_until = clock_timestamp() - interval '1 s' WHERE id = $1`,
      [owner],
    );
    await reaper.worker.policy.reap([owner]).catch(() => reaper.worker.policy.reap([owner]));
    for (const send of held) this.reaped.add(send);
    if (held.length > 0) this.happened.add('taken from its owner');
    reaper.worker.queue.wake();
  }

  /** The next attempts of what was taken from its owner have begun, if there is room for them. */
  private async takenAgain(): Promise<void> {
    const ids = [...this.reaped].filter((send) => this.open.has(send)).map(({ callId }) => callId);
    const waiting = `SELECT FROM worker.calls WHERE call_id = ANY($1::text[]) AND state = 'QUEUED'`;
    for (let i = 0; i < 50; i += 1) {
      if ((await sql.query(waiting, [ids])).rowCount === 0) return;
      await sleep(5);
    }
  }

  private async join(number: number): Promise<void> {
    this.members[number] = await Member.start(this, this.parts);
  }

  private member(number: number): Member {
    const member = this.members[number];
    if (member === undefined) throw new TypeError(`there is no worker ${number}`);
    return member;
  }
}

function requestsOf(calls: readonly CallPlan[], nowMs: number): ClaudeRequested[] {
  const turns = { a: 0, b: 0 };
  return calls.map(({ dueInMs, session }, i) =>
    claudeRequestedSchema.parse({
      tenant: 'default',
      call_id: `call-${i}`,
      lane: 'standard',
      stream: false,
      params: {
        model: 'claude-sonnet-5-5',
        max_tokens: 100,
        messages: [{ role: 'user', content: `call-${i}` }],
      },
      ...(session === null ? {} : { session_id: session, session_seq: (turns[session] += 1) }),
      ...(dueInMs === null ? {} : { complete_by: new Date(nowMs + dueInMs).toISOString() }),
      reply: { kind: 'job', created_at: '2026-11-23T10:00:00.000Z' },
    }),
  );
}

/** Events that a cancel comes after its request when it comes later. */
const laterBy = 6;

/** Each event in its order, and once more anywhere after that. */
function streamOf({ again, calls }: Plan, requests: readonly ClaudeRequested[]): Delivered[] {
  const placed = requests.flatMap((data, i) => {
    const at = i * 4;
    const cancelAt = { never: null, before: at - 1, beside: at + 1, later: at + laterBy };
    const cancel = cancelAt[calls[i]?.cancel ?? 'never'];
    const { tenant, call_id, session_id, session_seq, reply } = data;
    const cancelData = { tenant, call_id, session_id, session_seq, reply };
    const request = { at, record: recordOf(requestedType, data) };
    if (cancel === null) return [request];
    return [request, { at: cancel, record: recordOf(cancelType, cancelData) }];
  });
  const doubled = placed.flatMap(({ at, record }, i) => {
    const by = (again[i % again.length] ?? 0) + 0.5;
    return [{ at, record }, { at: at + by, record }];
  });
  return doubled.sort((one, other) => one.at - other.at).map(({ record }) => record);
}

const requestedType = 'millrace.claude.requested.v1';
const cancelType = 'millrace.claude.cancel-requested.v1';

function recordOf<D extends ClaudeRequested | ClaudeCancelRequested>(
  type: string,
  data: D,
): EventRecord<D> {
  const key = `${data.tenant}/${data.session_id ?? data.call_id}`;
  return {
    topic: topics.claudeRequested.name,
    partition: 0,
    offset: '1',
    key,
    timestampMs: 0,
    id: `${key}:${type}`,
    type,
    headers: {},
    data,
    context: ROOT_CONTEXT,
  };
}

function idOf({ data }: Delivered): string {
  return data.call_id;
}

function saidIn(params: ClaudeSend['params']): string[] {
  const messages = params['messages'] as readonly { role: string; content: unknown }[];
  return messages.filter(({ role }) => role === 'user').map(({ content }) => String(content));
}

function answerOf(how: How, text: string, nth: number): ClaudeAnswer {
  const source = { httpStatus: 200, requestId: `req_${nth}`, standIn: true };
  switch (how) {
    case 'ok': {
      const content = [{ type: 'text', text }];
      const usage = { input_tokens: 1, output_tokens: 2 };
      const message = { type: 'message' as const, role: 'assistant', content, usage };
      return { kind: 'message', message: { ...message, stop_reason: 'end_turn' }, source };
    }
    case 'overloaded':
    case 'rejected': {
      const httpStatus = how === 'rejected' ? 400 : 529;
      const error = { httpStatus, type: null, errorCode: null, retryAfterMs: null, detail: how };
      return { kind: 'error', error, source: { ...source, httpStatus } };
    }
    case 'cut':
      return { kind: 'cut', reason: 'connection_lost', source };
    default:
      return assertNever(how);
  }
}

function answerOfAbort(reason: unknown): ClaudeAnswer {
  if (reason instanceof DeadlinePassed) {
    return { kind: 'cut', reason: reason.reason, source: noSource };
  }
  if (reason instanceof WorkCancelled) return { kind: 'interrupted', by: 'cancel' };
  if (reason instanceof CallExpired) return { kind: 'interrupted', by: 'expiry' };
  return { kind: 'interrupted', by: reason instanceof LeaseLost ? 'lease_lost' : 'stop' };
}

function isEnd(state: string | undefined): boolean {
  return state === 'SETTLED' || state === 'FAILED' || state === 'UNKNOWN';
}

function isDispatch({ after, before }: Change): boolean {
  return after === 'DISPATCHED' && before !== 'DISPATCHED';
}

function endIn(completion: string): JobFinished {
  return jobFinishedSchema.parse(JSON.parse(completion));
}

function pickOf<T>(list: readonly T[], pick: number): T | undefined {
  return list[pick % Math.max(1, list.length)];
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1_000; i += 1) {
    if (await condition()) return;
    await sleep(10);
  }
  throw new Error('the condition never came true');
}

const sound: Parts = { Ledger: PostgresCallLedger, consumed: (slice) => slice };

/** @param happened is told what the campaign brought about. */
function lives(parts: Parts, happened = new Set<string>()) {
  return fc.asyncProperty(plans, async (plan) => {
    const world = new World(plan, parts, happened);
    try {
      await world.begin();
      for (const step of plan.steps) await world.take(step);
      await world.close();
      expect(await world.judge()).toEqual([]);
    } finally {
      await world.leave();
    }
  });
}

const allThatMayHappen = [
  'a lost answer',
  'a lost statement',
  'cancelled',
  'expired',
  'failed',
  'succeeded',
  'taken from its owner',
];

it('a call lives as the model says, whatever comes twice, is lost or dies', async () => {
  const { numRuns, seed } = campaign;
  // A failure prints its seed and path, and the plan that failed.
  const happened = new Set<string>();
  await fc.assert(lives(sound, happened), { seed, numRuns, endOnFailure: true });
  expect([...happened].sort()).toEqual(allThatMayHappen);
});

/** Settles what is dispatched, whoever it was dispatched to. */
class FencelessLedger extends PostgresCallLedger {
  override async settle(entry: LedgerEntry): Promise<'settled' | 'lost'> {
    const { rows } = await sql.query<{ owner: string | null; attempt: number }>(
      'SELECT owner, attempt FROM worker.calls WHERE call_id = $1',
      [entry.call.callId],
    );
    const owner = rows[0]?.owner ?? entry.call.owner;
    const attempt = rows[0]?.attempt ?? entry.call.attempt;
    return super.settle({ ...entry, call: { ...entry.call, owner, attempt } });
  }
}

/** Takes a request that comes again for a new one. */
class ForgetfulLedger extends PostgresCallLedger {
  override async insert(
    calls: readonly NewCall[],
    owner: string,
  ): Promise<PromiseSettledResult<Inserted>[]> {
    const results = await super.insert(calls, owner);
    const dispatched = { kind: 'dispatched', dispatchedAtMs: Date.now() } as const;
    return results.map((result, i) => {
      const isAgain = result.status === 'fulfilled' && result.value.kind === 'existed';
      return isAgain && calls[i]?.claim === true ? { ...result, value: dispatched } : result;
    });
  }
}

/** Looks at the requests of a slice only, unless all of it are cancels. */
function withoutCancels(slice: readonly Delivered[]): readonly Delivered[] {
  const requests = slice.filter(({ type }) => type === requestedType);
  return requests.length > 0 ? requests : slice;
}

describe('the model sees', () => {
  it.each<[string, Parts, RegExp]>([
    ['a ledger without its fence', { ...sound, Ledger: FencelessLedger }, /ended as|sends, told/],
    ['a ledger that takes a request twice', { ...sound, Ledger: ForgetfulLedger }, /sends/],
    ['a consumer that drops a cancel', { ...sound, consumed: withoutCancels }, /was dropped/],
  ])('%s', async (_, parts, wrong) => {
    const { seed } = campaign;
    const found = await fc.check(lives(parts), { seed, numRuns: 60, endOnFailure: true });
    expect(String(found.errorInstance)).toMatch(wrong);
  });
});
