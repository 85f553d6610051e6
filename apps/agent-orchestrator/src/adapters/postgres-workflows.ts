import { daysAround, type OutgoingMessage, type PayloadCodec } from '@millrace/contracts';
import {
  arrayQuery,
  GroupCommit,
  isBadRow,
  type ArrayQuery,
  type Pool,
  type PoolClient,
} from '@millrace/postgres';
import { extractTrace, failpoint, injectTrace } from '@millrace/runtime';
import type { Context } from '@opentelemetry/api';

import { fold, type Folded, type HeldWorkflow } from '../core/fold.ts';
import type { Answer, JournalEntry, WorkflowHead } from '../core/journal-entry.ts';
import { lighten, mayBeLarge, type LargeBody } from '../core/large-bodies.ts';
import { parkedTimers } from '../core/parked-run.ts';
import { versionsRun, type Reducers } from '../core/reducers.ts';
import type { WorkflowEvent } from '../core/workflow.ts';
import {
  Workflows,
  type Applied,
  type DueTimer,
  type JournalPage,
  type JournalRange,
  type TakenTimers,
  type WorkflowBatch,
  type WorkflowName,
} from '../ports.ts';
import { traceOf, WorkflowBodies, type EntryRow, type LoadedRow } from './workflow-rows.ts';
import type { WorkflowRow } from './workflow-rows.ts';
import * as sql from './workflow-statements.ts';
import { consumed, writeColumns, type NewEntry, type WorkflowWrite } from './write-columns.ts';

/** Batches that are under way at once: while one is in the database the next is decided. */
const batchesMax = 2;
/** Of one batch: a slice of 500 events makes two of them, which then overlap. */
const batchRowsMax = 250;
/** Seconds that a body in `blobs` is kept: as long as the job. */
const bodyTtlSeconds = 30 * 86_400;
/** Bytes of events that are read at once, but for one that is larger. */
const pageBytesMax = 4 * 1024 * 1024;
/** How long taken timers are out of sight of others: a statement has 15 s at most. */
const timerHoldMs = 30_000;

export interface PostgresWorkflowsOptions {
  readonly pool: Pool;
  readonly codec: PayloadCodec;
  readonly reducers: Reducers;
  /** What an answer is published as. */
  readonly messages: (head: WorkflowHead, answer: Answer, context: Context) => OutgoingMessage[];
}

/** What one batch's rows say. */
interface Loaded {
  readonly nowMs: number;
  readonly workflows: ReadonlyMap<string, HeldWorkflow>;
  readonly traces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly answered: ReadonlyMap<string, ReadonlyMap<string, Answer>>;
}

/** A batch of one workflow, decided. */
interface Decided {
  readonly batch: WorkflowBatch;
  readonly was: HeldWorkflow | null;
  readonly folded: Folded;
  readonly write: WorkflowWrite | null;
  readonly trace: Readonly<Record<string, string>>;
  readonly answered: ReadonlyMap<string, Answer>;
  readonly bodies: readonly LargeBody[];
}

/**
 * Workflows in Postgres: events gather while the last statements run, are decided between two
 * statements, and are committed by one.
 *
 * W1 A row is written only over the version that was decided on; whoever comes second is told so.
 * W2 Entries, timers, kept events and outbox of a version are written with its row or not at all.
 * W3 Within this process one batch of a workflow is under way at a time.
 */
export class PostgresWorkflows extends Workflows {
  readonly #options: PostgresWorkflowsOptions;
  readonly #bodies: WorkflowBodies;
  readonly #commits: GroupCommit<WorkflowBatch, Applied>;

  constructor(options: PostgresWorkflowsOptions) {
    super();
    this.#options = options;
    this.#bodies = new WorkflowBodies(options.codec);
    this.#commits = new GroupCommit({
      name: 'workflows',
      pool: options.pool,
      keyOf: ({ workflow }) => keyOf(workflow),
      concurrency: batchesMax,
      rowsMax: batchRowsMax,
      commit: (client, batches) => this.#run(client, batches),
    });
  }

  apply(batches: readonly WorkflowBatch[]): Promise<PromiseSettledResult<Applied>[]> {
    return this.#commits.submitAll(batches);
  }

  async answers(
    { day, id, tenant }: WorkflowName,
    versions: readonly number[],
  ): Promise<Answer[]> {
    const { rows } = await this.#options.pool.query<EntryRow>({
      name: 'workflow_answers',
      text: sql.answersSql,
      values: [tenant, id, day, versions],
    });
    return rows.map((row) => this.#bodies.answerOf(tenant, { ...row, body: row.commands }));
  }

  async park({ arrivals, workflow }: WorkflowBatch): Promise<void> {
    const { day, id, tenant } = workflow;
    const { pool } = this.#options;
    const head = arrivals.find((arrival) => arrival.head !== null)?.head ?? null;
    const kind = head?.type === 'document' ? 'document' : 'agent';
    const request = head && this.#bodies.encode(tenant, head);
    const timers = head ? parkedTimers(head, await this.#now()) : [];
    const names = timers.map(({ name }) => name);
    const times = timers.map(({ at }) => new Date(at));
    await pool.query(sql.parkRefusedSql, [tenant, id, day, kind, request, names, times]);
    for (const { stored } of arrivals) {
      const event = this.#bodies.encode(tenant, stored);
      const values = [tenant, id, day, stored.eventId, event];
      // What cannot even be kept is gone: the run ends by its time.
      await pool.query(sql.keepRefusedSql, values).catch((error: unknown) => {
        if (!isBadRow(error)) throw error;
      });
    }
  }

  /** By the clock that timers are due by. */
  async #now(): Promise<number> {
    const { rows } = await this.#options.pool.query<{ at_ms: number }>(sql.nowSql);
    const [row] = rows;
    if (row === undefined) throw new Error('the database has no time');
    return Math.round(row.at_ms);
  }

  async journal({ day, id, tenant }: WorkflowName, range: JournalRange): Promise<JournalPage> {
    const { bytesMax, from, limit } = range;
    const { rows } = await this.#options.pool.query<PagedRow>({
      name: 'workflow_journal',
      text: sql.journalSql,
      values: [tenant, id, day, from, limit, bytesMax],
    });
    const last = rows.at(-1);
    const entries = rows.map((row) => this.#bodies.entryOf(tenant, row));
    return { entries, bytes: last?.bytes ?? 0, next: last?.next ?? null };
  }

  async find({ day, id, tenant }: WorkflowName): Promise<HeldWorkflow | null> {
    const { rows } = await this.#options.pool.query<WorkflowRow>({
      name: 'workflow_find',
      text: sql.findSql,
      values: [tenant, id, day],
    });
    const [row] = rows;
    return row === undefined ? null : this.#bodies.workflowOf(row);
  }

  async takeTimers(limit: number): Promise<TakenTimers> {
    const { pool } = this.#options;
    const { rows } = await pool.query<TimerRow>({
      name: 'timers_take',
      text: sql.takeTimersSql,
      values: [limit, timerHoldMs],
    });
    if (rows.length === limit) return { due: rows.map(timerOf), nextDueInMs: 0 };
    const next = await pool.query<{ due_in_ms: number | null }>({
      name: 'timers_next',
      text: sql.nextTimerSql,
    });
    return { due: rows.map(timerOf), nextDueInMs: next.rows[0]?.due_in_ms ?? null };
  }

  /** A page of what waited beside workflows that may go on by now, oldest first. */
  async parkedEvents(
    codes: readonly string[],
    { after, limit }: { readonly after: string; readonly limit: number },
  ): Promise<ParkedEvent[]> {
    const versions = versionsRun(this.#options.reducers);
    const { rows } = await this.#options.pool.query<ParkedRow>(sql.parkedEventsSql, [
      codes,
      versions.map(([kind]) => kind),
      versions.map(([, schemaVersion]) => schemaVersion),
      after,
      limit,
      pageBytesMax,
    ]);
    return rows.map((row) => ({
      workflow: { tenant: row.tenant, id: row.id, day: row.day },
      position: row.position,
      event: this.#bodies.eventOf(row.tenant, row.event),
      trace: traceOf(row),
    }));
  }

  /** Workflows that have not ended, by what they wait for; exact up to a limit. */
  async countOpen(): Promise<readonly { readonly status: string; readonly count: number }[]> {
    const { rows } = await this.#options.pool.query<{ status: string; count: number }>(
      sql.countOpenSql,
    );
    return rows;
  }

  async close(): Promise<void> {
    await this.#commits.close();
  }

  async #run(client: PoolClient, batches: readonly WorkflowBatch[]): Promise<Applied[]> {
    await failpoint('workflows.loading');
    const loaded = await this.#load(client, batches);
    await failpoint('workflows.loaded');
    const decided = batches.map((batch) => this.#decide(batch, loaded));
    await this.#putBodies(client, decided);
    await failpoint('workflows.committing');
    const won = await this.#write(client, decided);
    await failpoint('workflows.committed');
    const settled = decided.filter(({ batch, write }) => write === null || won(batch.workflow));
    await this.#consume(client, settled);
    return decided.map((one): Applied => {
      if (one.write !== null && !won(one.batch.workflow)) return { kind: 'lost' };
      const { answered, folded, trace, write } = one;
      const outbox = write?.outbox ?? [];
      return { kind: 'done', ...folded, next: folded.next, trace, answered, outbox };
    });
  }

  async #load(client: PoolClient, batches: readonly WorkflowBatch[]): Promise<Loaded> {
    const names = batches.map(({ workflow }) => workflow);
    const arrivals = batches.flatMap((batch) => batch.arrivals);
    const values = [
      names.map(({ tenant }) => tenant),
      names.map(({ id }) => id),
      names.map(({ day }) => day),
      arrivals.map(({ workflow }) => workflow.tenant),
      arrivals.map(({ workflow }) => workflow.id),
      arrivals.map(({ workflow }) => workflow.day),
      arrivals.map(({ event }) => event.eventId),
      ...daysAround(names.map(({ day }) => day)),
    ];
    const { rows } = await client.query<LoadedRow>(
      arrayQuery({ name: 'workflows_load', text: sql.loadSql, values }),
    );
    return this.#loadedOf(rows);
  }

  #loadedOf(rows: readonly LoadedRow[]): Loaded {
    const workflows = new Map<string, HeldWorkflow>();
    const traces = new Map<string, Record<string, string>>();
    const answered = new Map<string, Map<string, Answer>>();
    let nowMs = 0;
    for (const row of rows) {
      const key = keyOf(row);
      if (row.id === '') nowMs = Math.round(row.at_ms);
      else if (row.event_id === null) {
        workflows.set(key, this.#bodies.workflowOf(row));
        traces.set(key, traceOf(row));
      } else {
        const known = answered.get(key) ?? new Map<string, Answer>();
        answered.set(key, known.set(row.event_id, this.#bodies.answerOf(row.tenant, row)));
      }
    }
    return { nowMs, workflows, traces, answered };
  }

  #decide(batch: WorkflowBatch, loaded: Loaded): Decided {
    const key = keyOf(batch.workflow);
    const was = loaded.workflows.get(key) ?? null;
    const answered = loaded.answered.get(key) ?? nothingAnswered;
    const folded = fold({
      held: was,
      known: new Set(answered.keys()),
      events: batch.arrivals,
      nowMs: loaded.nowMs,
      reducers: this.#options.reducers,
    });
    const trace = loaded.traces.get(key) ?? firstTrace(batch);
    const bodies: LargeBody[] = [];
    const light = lightenOutcomes(folded, bodies);
    const decided = { batch, was, folded: light.folded, trace, answered, bodies };
    return { ...decided, write: this.#writeOf(decided, light.entries) };
  }

  #writeOf(decided: Omit<Decided, 'write'>, entries: readonly NewEntry[]): WorkflowWrite | null {
    const { batch, folded, trace, was } = decided;
    const { next, outcomes } = folded;
    if (next === null) return null;
    if (next === was && !outcomes.some(({ kind }) => kind === 'parked')) return null;
    const { head } = next;
    const parked: WorkflowEvent[] = [];
    const timers = outcomes.flatMap((one) => (one.kind === 'parked' ? (one.timers ?? []) : []));
    const outbox: OutgoingMessage[] = [];
    outcomes.forEach((outcome, i) => {
      const arrival = batch.arrivals[i];
      if (arrival === undefined) return;
      if (outcome.kind === 'parked') parked.push(arrival.stored);
      if (outcome.kind === 'applied' && arrival.byOutbox) {
        const context = arrival.context ?? extractTrace(trace);
        outbox.push(...this.#options.messages(head, outcome.entry, context));
      }
    });
    const fired = batch.arrivals.flatMap(({ timer }) => (timer === undefined ? [] : [timer]));
    return { workflow: batch.workflow, was, next, trace, entries, parked, timers, fired, outbox };
  }

  /** Before what refers to them. The same body has one id, so a lost batch harms nothing. */
  async #putBodies(client: PoolClient, decided: readonly Decided[]): Promise<void> {
    for (const { batch, bodies } of decided) {
      const { tenant } = batch.workflow;
      for (const { bytes, id } of bodies) {
        const body = this.#options.codec.encode(bytes, { tenant, medium: 'blob' });
        const values = [tenant, id, body, bodyTtlSeconds];
        await failpoint('workflows.body-putting');
        await client.query('SELECT blobs.put($1::text, $2::text, $3::bytea, $4::int)', values);
        await failpoint('workflows.body-put');
      }
    }
  }

  /** @returns whether a workflow's write stands. */
  async #write(
    client: PoolClient,
    decided: readonly Decided[],
  ): Promise<(workflow: WorkflowName) => boolean> {
    const writes = decided.flatMap(({ write }) => (write === null ? [] : [write]));
    if (writes.length === 0) return () => false;
    const values = writeColumns(writes, this.#bodies);
    const { rows } = await client.query<{ tenant: string; id: string }>(
      arrayQuery({ name: 'workflows_write', text: sql.writeSql, values }),
    );
    const won = new Set(rows.map(keyOf));
    return (workflow) => won.has(keyOf(workflow));
  }

  /**
   * Timers that fired for nothing, and parked events that were decided. After the write, and by
   * itself: what a crash leaves of them comes again and is known.
   */
  async #consume(client: PoolClient, settled: readonly Decided[]): Promise<void> {
    const arrivals = settled.flatMap(({ batch, folded }) =>
      batch.arrivals.filter((_, i) => folded.outcomes[i]?.kind !== 'parked'),
    );
    if (!arrivals.some(({ timer, unparks }) => timer !== undefined || unparks)) return;
    const { events, timers } = consumed(arrivals);
    const run = (query: ArrayQuery) => client.query(arrayQuery(query));
    if (timers[0]?.length !== 0) await run({ text: sql.dropTimersSql, values: timers });
    if (events[0]?.length !== 0) await run({ text: sql.dropParkedEventsSql, values: events });
  }
}

export interface ParkedEvent {
  readonly workflow: WorkflowName;
  readonly position: string;
  readonly event: WorkflowEvent;
  readonly trace: Readonly<Record<string, string>>;
}

interface ParkedRow extends WorkflowName {
  readonly position: string;
  readonly event: Buffer;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

interface PagedRow extends EntryRow {
  /** Of the page so far. */
  readonly bytes: number;
  readonly next: number | null;
}

interface TimerRow extends WorkflowName {
  readonly name: string;
  readonly version: number;
  readonly due_at_ms: number;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

const nothingAnswered: ReadonlyMap<string, Answer> = new Map();

function keyOf({ id, tenant }: { readonly tenant: string; readonly id: string }): string {
  return `${tenant}/${id}`;
}

/** A workflow continues the trace of what began it. */
function firstTrace({ arrivals }: WorkflowBatch): Record<string, string> {
  const context = arrivals[0]?.context ?? null;
  return context === null ? {} : injectTrace(context);
}

function timerOf(row: TimerRow): DueTimer {
  const { day, due_at_ms: dueAtMs, id, name, tenant, version } = row;
  return { workflow: { tenant, id, day }, name, version, dueAtMs, trace: traceOf(row) };
}

/** The entries to be written, and the same outcomes with what is too large put aside. */
function lightenOutcomes(
  folded: Folded,
  bodies: LargeBody[],
): { readonly folded: Folded; readonly entries: readonly NewEntry[] } {
  const entries: NewEntry[] = [];
  const outcomes = folded.outcomes.map((outcome) => {
    if (outcome.kind !== 'applied') return outcome;
    const { entry, json } = lightEntry(outcome.entry, bodies);
    entries.push({ ...entry, answerJson: json });
    return { ...outcome, entry };
  });
  return { folded: { ...folded, outcomes }, entries };
}

function lightEntry(
  entry: JournalEntry,
  bodies: LargeBody[],
): { readonly entry: JournalEntry; readonly json: string } {
  const json = answerJson(entry);
  if (!mayBeLarge(json)) return { entry, json };
  const light = lighten(entry.commands);
  bodies.push(...light.bodies);
  const lighter = { ...entry, commands: light.commands };
  return { entry: lighter, json: answerJson(lighter) };
}

function answerJson({ commands, noted, schemaVersion, told }: JournalEntry): string {
  return JSON.stringify({ commands, told, schemaVersion, noted });
}
