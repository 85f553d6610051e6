import {
  type JobView,
  type OutgoingMessage,
  type PayloadCodec,
  type SessionId,
  type TenantId,
} from '@millrace/contracts';
import {
  arrayQuery,
  GroupCommit,
  outboxColumns,
  outboxInsertSql,
  type Pool,
  type PoolClient,
  type TenantDatabase,
} from '@millrace/postgres';

import { answerSchema, jobView, textOf } from '../core/job-view.ts';
import type { ListQuery } from '../core/list-cursor.ts';
import type { NewJob } from '../core/new-job.ts';
import {
  Jobs,
  type EndResult,
  type Insertion,
  type JobEnd,
  type JobName,
  type JobPlace,
  type JobSubmissionRow,
  type LargeBodies,
  type ListedJobs,
  type RepeatedNames,
  type StatusChange,
  type StandingJobRow,
} from '../ports.ts';
import { changeStatuses } from './change-statuses.ts';
import { countTurns } from './count-turns.ts';
import { findJob } from './find-job.ts';
import {
  findStandingJobs,
  standingJobsQuery,
  type JobNames,
  type StandingRow,
} from './find-standing-jobs.ts';
import { finishJobs } from './finish-jobs.ts';
import { insertJobsWithOutbox } from './insert-jobs-with-outbox.ts';
import { insertJobs, type ArrivedJob, type InsertedRow } from './insert-jobs.ts';
import { insertWaitingJobs } from './insert-waiting-jobs.ts';
import { jobRecordOf, readableStandingJob, standingJobOf } from './job-rows.ts';
import { listJobs } from './list-jobs.ts';
import { startJobs } from './start-jobs.ts';

interface Arriving extends ArrivedJob {
  readonly announce?: JobSubmissionRow['announce'];
}

export interface PostgresJobsOptions {
  readonly pool: Pool;
  /** What is read for one tenant. */
  readonly own: TenantDatabase;
  readonly codec: PayloadCodec;
  readonly bodies: LargeBodies;
}

/**
 * The jobs' table. Six kinds of commits, each of its own group:
 * - from HTTP without a session: rows and messages by one statement;
 * - from HTTP within a session: a transaction, as the message tells a place that the insert gives;
 * - from Kafka: rows alone, by one statement;
 * - from either, with a time ahead: rows and their releases, by one statement;
 * - ends, starts, and what workflows wait for.
 */
export class PostgresJobs extends Jobs {
  readonly #pool: Pool;
  readonly #own: TenantDatabase;
  readonly #codec: PayloadCodec;
  readonly #bodies: LargeBodies;
  readonly #announced: GroupCommit<Required<Arriving>, Insertion>;
  readonly #announcedTurns: GroupCommit<Required<Arriving>, Insertion>;
  readonly #recorded: GroupCommit<Arriving, Insertion>;
  readonly #waiting: GroupCommit<Arriving, Insertion>;
  readonly #ends: GroupCommit<JobEnd, EndResult>;
  readonly #starts: GroupCommit<JobPlace, void>;
  readonly #statuses: GroupCommit<StatusChange, void>;
  #arrivals = 0;

  constructor({ pool, own, codec, bodies }: PostgresJobsOptions) {
    super();
    this.#pool = pool;
    this.#own = own;
    this.#codec = codec;
    this.#bodies = bodies;
    const keyed = { pool, keyOf: keyOfArriving, bytesOf: bytesOfArriving };
    this.#announced = new GroupCommit<Required<Arriving>, Insertion>({
      ...keyed,
      name: 'jobs by HTTP',
      commit: (client, items) => this.#commitAnnounced(client, items),
    });
    this.#announcedTurns = new GroupCommit<Required<Arriving>, Insertion>({
      ...keyed,
      name: 'session jobs by HTTP',
      transaction: true,
      commit: (client, items) => this.#commitAnnouncedTurns(client, items),
    });
    this.#recorded = new GroupCommit<Arriving, Insertion>({
      ...keyed,
      name: 'jobs by Kafka',
      commit: async (client, items) => {
        const rows = await insertJobs(client, items, codec);
        return this.#insertions(client, { items, rows, messages: null });
      },
    });
    this.#waiting = new GroupCommit<Arriving, Insertion>({
      ...keyed,
      name: 'jobs that wait',
      commit: async (client, items) => {
        const rows = await insertWaitingJobs(client, items.map(({ job }) => job), codec);
        return this.#insertions(client, { items, rows, messages: null });
      },
    });
    this.#ends = new GroupCommit<JobEnd, EndResult>({
      name: 'ends of jobs',
      pool,
      keyOf: keyOfName,
      bytesOf: (end) => end.outcomeJson.length + (end.answerJson?.length ?? 0),
      commit: (client, ends) => finishJobs(client, ends, codec),
    });
    this.#starts = new GroupCommit<JobPlace, void>({
      name: 'starts of jobs',
      pool,
      keyOf: keyOfName,
      commit: async (client, started) => {
        await startJobs(client, started);
        return started.map(() => undefined);
      },
    });
    this.#statuses = new GroupCommit<StatusChange, void>({
      name: 'statuses of jobs',
      pool,
      keyOf: keyOfName,
      commit: async (client, changes) => {
        await changeStatuses(client, changes);
        return changes.map(() => undefined);
      },
    });
  }

  insertAnnounced({ job, announce }: JobSubmissionRow): Promise<Insertion> {
    if (job.waits) return this.#waiting.submit({ job, arrival: this.#nextArrival() });
    const commits = job.sessionId === null ? this.#announced : this.#announcedTurns;
    return commits.submit({ job, announce, arrival: this.#nextArrival() });
  }

  async insertRecorded(jobs: readonly NewJob[]): Promise<PromiseSettledResult<Insertion>[]> {
    const arriving = jobs.map((job) => ({ job, arrival: this.#nextArrival() }));
    const [now, later] = await Promise.all([
      this.#recorded.submitAll(arriving.filter(({ job }) => !job.waits)),
      this.#waiting.submitAll(arriving.filter(({ job }) => job.waits)),
    ]);
    const results = { now: now.values(), later: later.values() };
    return jobs.map(({ waits }) => {
      const { value } = results[waits ? 'later' : 'now'].next();
      if (value === undefined) throw new TypeError('a job without a result');
      return value;
    });
  }

  finish(ends: readonly JobEnd[]): Promise<PromiseSettledResult<EndResult>[]> {
    return this.#ends.submitAll(ends);
  }

  start(started: readonly JobPlace[]): Promise<PromiseSettledResult<void>[]> {
    return this.#starts.submitAll(started);
  }

  changeStatus(changes: readonly StatusChange[]): Promise<PromiseSettledResult<void>[]> {
    return this.#statuses.submitAll(changes);
  }

  async find({ tenant, id }: JobName): Promise<JobView | null> {
    const row = await findJob(this.#own, tenant, id);
    if (row === null) return null;
    const record = jobRecordOf(this.#codec, tenant, row);
    return jobView({ ...record, answerJson: await this.#wholeAnswer(tenant, record.answerJson) });
  }

  async findStanding({ tenant, id }: JobName): Promise<StandingJobRow | null> {
    const names = [{ tenant, id, idempotencyKey: null }];
    const { rows } = await this.#own.query<StandingRow>(tenant, standingJobsQuery(names));
    const [row] = rows;
    return row === undefined ? null : standingJobOf(this.#codec, row);
  }

  async findRepeated(repeated: RepeatedNames): Promise<StandingJobRow | null> {
    const { tenant, id, idempotencyKey } = repeated;
    // No job has an empty id.
    const names = [{ tenant, id: id ?? '', idempotencyKey }];
    const { rows } = await this.#own.query<StandingRow>(tenant, standingJobsQuery(names));
    const row = rows.find((found) => found.idempotency_key === idempotencyKey) ?? rows[0];
    return row === undefined ? null : standingJobOf(this.#codec, row);
  }

  async announce(message: OutgoingMessage): Promise<void> {
    const values = outboxColumns([message]);
    await this.#pool.query(arrayQuery({ text: outboxInsertSql('ingest', 1), values }));
  }

  async list(tenant: TenantId, query: ListQuery): Promise<ListedJobs> {
    const { lookedUntil, rows } = await listJobs(this.#own, tenant, query);
    const jobs = rows.map((row) => jobView(jobRecordOf(this.#codec, tenant, row)));
    return { jobs, lookedUntil };
  }

  turnsOf(tenant: TenantId, session: SessionId): Promise<number | null> {
    return countTurns(this.#own, tenant, session);
  }

  async close(): Promise<void> {
    const commits = [this.#announced, this.#announcedTurns, this.#recorded, this.#waiting];
    const changes = [this.#ends, this.#starts, this.#statuses];
    await Promise.all([...commits, ...changes].map((commit) => commit.close()));
  }

  #nextArrival(): number {
    this.#arrivals += 1;
    return this.#arrivals;
  }

  async #commitAnnounced(
    client: PoolClient,
    items: readonly Required<Arriving>[],
  ): Promise<Insertion[]> {
    const messages = items.map(({ announce }) => announce(null));
    const announced = items.map(({ job }, index) => ({ job, message: at(messages, index) }));
    const rows = await insertJobsWithOutbox(client, announced, this.#codec);
    return this.#insertions(client, { items, rows, messages });
  }

  async #commitAnnouncedTurns(
    client: PoolClient,
    items: readonly Required<Arriving>[],
  ): Promise<Insertion[]> {
    const rows = await insertJobs(client, items, this.#codec);
    const inserted = byKey(rows);
    const messages = items.map(({ job, announce }) => {
      const row = inserted.get(keyOf(job));
      return row === undefined ? null : announce(row.seq);
    });
    const told = messages.filter((message) => message !== null);
    const text = outboxInsertSql('ingest', 1);
    await client.query(arrayQuery({ text, values: outboxColumns(told) }));
    return this.#insertions(client, { items, rows, messages });
  }

  /** One outcome per item. What was not inserted met a row, which is read by the same client. */
  async #insertions(
    client: PoolClient,
    o: {
      readonly items: readonly Arriving[];
      readonly rows: readonly InsertedRow[];
      readonly messages: readonly (OutgoingMessage | null)[] | null;
    },
  ): Promise<Insertion[]> {
    const inserted = byKey(o.rows);
    const met = o.items.map(({ job }) => job).filter((job) => !inserted.has(keyOf(job)));
    const standing = met.length === 0 ? [] : await findStandingJobs(client, met.map(namesOf));
    return o.items.map(({ job }, index) => {
      const row = inserted.get(keyOf(job));
      if (row !== undefined) {
        if (job.waits) return { kind: 'waiting' };
        return { kind: 'inserted', seq: row.seq, message: o.messages?.[index] ?? null };
      }
      const met = readableStandingJob(this.#codec, rowMetBy(job, standing));
      return met === null ? { kind: 'unreadable' } : { kind: 'standing', row: met };
    });
  }

  /** Brings in a message that travelled by reference; its text is the result. */
  async #wholeAnswer(tenant: TenantId, answerJson: string | null): Promise<string | null> {
    if (answerJson === null) return null;
    const answer = answerSchema.parse(JSON.parse(answerJson));
    if (answer.message_ref === undefined) return answerJson;
    const body = await this.#bodies.read(tenant, answer.message_ref);
    if (body === null) return answerJson;
    const message = answerSchema.shape.message.parse(JSON.parse(body));
    return JSON.stringify({ result: answer.result ?? textOf(message ?? {}), message });
  }
}

function keyOfArriving({ job }: Arriving): string {
  return keyOf(job);
}

/** An idempotency key stands before the id: a retry with the same key has a new random id. */
function keyOf(job: NewJob): string {
  const { tenant, id, idempotencyKey } = job;
  return idempotencyKey === null ? `${tenant}/${id}` : `${tenant}//${idempotencyKey}`;
}

function byKey(rows: readonly InsertedRow[]): Map<string, InsertedRow> {
  return new Map(
    rows.map((row) => {
      const { tenant, id, idempotency_key: key } = row;
      return [key === null ? `${tenant}/${id}` : `${tenant}//${key}`, row];
    }),
  );
}

function namesOf({ tenant, id, idempotencyKey }: NewJob): JobNames {
  return { tenant, id, idempotencyKey };
}

/** The idempotency key comes first: it is what the caller repeats. */
function rowMetBy(job: NewJob, standing: readonly StandingRow[]): StandingRow {
  const ofTenant = standing.filter(({ tenant }) => tenant === job.tenant);
  const found =
    ofTenant.find((row) => row.idempotency_key !== null && namesKey(row, job)) ??
    ofTenant.find(({ id }) => id === job.id);
  // Rows are never deleted while their key may be repeated, and inserts wait for each other.
  if (found === undefined) throw new TypeError('a row was neither inserted nor found');
  return found;
}

function namesKey(row: StandingRow, job: NewJob): boolean {
  return row.idempotency_key === job.idempotencyKey;
}

function bytesOfArriving({ job }: Arriving): number {
  return job.firstEventJson.length * 2;
}

function keyOfName({ tenant, id }: JobName): string {
  return `${tenant}/${id}`;
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new TypeError(`no element ${index}`);
  return found;
}
