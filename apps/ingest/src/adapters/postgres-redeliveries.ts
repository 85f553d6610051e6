import { setImmediate } from 'node:timers/promises';

import {
  redeliveriesPerTenantMax,
  redeliveryViewSchema,
  tenantIdSchema,
  type OutgoingMessage,
  type PayloadCodec,
  type RedeliveryView,
  type TenantId,
} from '@millrace/contracts';
import {
  arrayQuery,
  inTransaction,
  outboxColumns,
  outboxInsertSql,
  type Pool,
  type PoolClient,
  type TenantDatabase,
} from '@millrace/postgres';

import {
  legEnd,
  walkStep,
  type FoundEnd,
  type Leg,
  type Look,
  type RedeliveryQuery,
  type StepLimits,
  type WalkStep,
} from '../core/redelivery.ts';
import {
  Redeliveries,
  type EndedJobRow,
  type NewRedelivery,
  type RedeliveryStart,
  type RedeliveryStep,
} from '../ports.ts';
import { byTime } from './jobs-by-time.ts';
import { readEndedJobs } from './read-ended-jobs.ts';

export interface PostgresRedeliveriesOptions {
  readonly pool: Pool;
  readonly own: TenantDatabase;
  readonly codec: PayloadCodec;
  readonly limits?: Partial<RedeliveryLimits>;
}

export interface RedeliveryLimits extends StepLimits {
  /** Jobs looked at by one step: some 50 ms, and some 50 MiB of pages when they are cold. */
  readonly lookedMax: number;
  /** Between two steps, of whichever process and tenant: with `endsMax` the rate. */
  readonly stepEveryMs: number;
  /** Messages of any kind that wait in the outbox for Kafka: with so many none is added. */
  readonly unsentMax: number;
}

const limitsDefault: RedeliveryLimits = {
  endsMax: 100,
  bytesMax: 16 * 1024 * 1024,
  lookedMax: 10_000,
  stepEveryMs: 1_000,
  unsentMax: 1_000,
};

/** What stood in the way of the first try may have ended before it was looked at. */
const startTriesMax = 2;

/**
 * Of the 30 days for which deliveries are kept: what ended before is passed over, so that a walk
 * of many hours tells of nothing whose webhook is forgotten by the time its event is read.
 */
const toldAgoMax = '29 days 12 hours';
const keptFor = '30 days';

interface RedeliveryRow {
  readonly id: string;
  readonly state: string;
  readonly since: Date;
  readonly until: Date;
  readonly published: number;
  readonly created_at: Date;
  readonly finished_at: Date | null;
}

interface StandingRow extends RedeliveryRow {
  readonly request_hash: Buffer;
}

interface WalkingRow extends RedeliveryRow {
  readonly tenant: string;
  readonly leg: Leg;
  readonly after_created_at: string;
  readonly after_id: string;
}

interface LookedRow {
  readonly id: string;
  readonly day: string;
  readonly place: string;
  readonly bytes: number;
  readonly is_last: boolean;
}

/**
 * The redeliveries' table.
 *
 * W1 The place in the walk moves in the transaction that puts the ends before it into the outbox: a
 *    process that dies in between leaves both undone.
 * W2 One process at a time holds the one row of `ingest.redelivery_pace`, and so takes the fleet's
 *    step; the others pass over it.
 */
export class PostgresRedeliveries extends Redeliveries {
  readonly #pool: Pool;
  readonly #own: TenantDatabase;
  readonly #codec: PayloadCodec;
  readonly #limits: RedeliveryLimits;

  constructor({ pool, own, codec, limits }: PostgresRedeliveriesOptions) {
    super();
    this.#pool = pool;
    this.#own = own;
    this.#codec = codec;
    this.#limits = { ...limitsDefault, ...limits };
  }

  async start(redelivery: NewRedelivery): Promise<RedeliveryStart> {
    const { tenant, id, order, createdAt } = redelivery;
    const values = [
      tenant,
      id,
      order.since.toISOString(),
      order.until.toISOString(),
      order.requestHash,
      createdAt.toISOString(),
      redeliveriesPerTenantMax,
    ];
    for (let tries = 0; tries < startTriesMax; tries += 1) {
      const started = await this.#own.query<RedeliveryRow>(tenant, { text: startText, values });
      const [row] = started.rows;
      if (row !== undefined) return { kind: 'started', view: viewOf(row) };
      const met = { text: metText, values: [tenant, id] };
      const { rows } = await this.#own.query<StandingRow>(tenant, met);
      if (rows.length > 0) return standing(redelivery, rows);
    }
    return { kind: 'limit' };
  }

  async find(tenant: TenantId, id: string): Promise<RedeliveryView | null> {
    const query = { text: findText, values: [tenant, id] };
    const { rows } = await this.#own.query<RedeliveryRow>(tenant, query);
    return rows.map(viewOf)[0] ?? null;
  }

  async list(tenant: TenantId, { cursor, limit }: RedeliveryQuery): Promise<RedeliveryView[]> {
    const after = cursor === undefined ? null : new Date(cursor.createdAtMs).toISOString();
    const values = [tenant, after, cursor?.id ?? null, limit + 1];
    const { rows } = await this.#own.query<RedeliveryRow>(tenant, { text: listText, values });
    return rows.map(viewOf);
  }

  async isAnyRunning(): Promise<boolean> {
    const { rowCount } = await this.#pool.query(anyText);
    return rowCount === 1;
  }

  /** W1, W2. */
  step(tell: (job: EndedJobRow) => OutgoingMessage | null): Promise<RedeliveryStep | null> {
    const { stepEveryMs, unsentMax } = this.#limits;
    return inTransaction(this.#pool, async (client) => {
      const { rowCount } = await client.query(takeTurnText, [stepEveryMs, unsentMax]);
      if (rowCount !== 1) return null;
      const { rows } = await client.query<WalkingRow>(nextText);
      const [walking] = rows;
      if (walking === undefined) return null;
      const { told, next } = walkStep(walking.leg, await this.#look(client, walking), this.#limits);
      const { tenant } = walking;
      const jobs = await readEndedJobs(client, { tenant, names: told, codec: this.#codec });
      const { messages, untold } = await tellAll(jobs, tell);
      const text = outboxInsertSql('ingest', 1);
      await client.query(arrayQuery({ text, values: outboxColumns(messages) }));
      const view = await goOn(client, walking, { next, published: messages.length });
      return { tenant: tenantIdSchema.parse(tenant), view, messages, untold };
    });
  }

  async forgetOld(): Promise<void> {
    await this.#pool.query(forgetText, [keptFor]);
  }

  async #look(client: PoolClient, walking: WalkingRow): Promise<Look> {
    const { endsMax, lookedMax } = this.#limits;
    // Or the planner may read and sort all that is left of the leg, when it seems to be little.
    await client.query('SET LOCAL enable_sort = off');
    const { rows } = await client.query<LookedRow>(lookText, [
      walking.tenant,
      walking.after_created_at,
      walking.after_id,
      legEnd(walking.leg, walking).toISOString(),
      walking.since.toISOString(),
      walking.until.toISOString(),
      toldAgoMax,
      lookedMax,
      endsMax,
    ]);
    await client.query('SET LOCAL enable_sort = on');
    const placeOf = (row: LookedRow) => ({ createdAt: row.place, id: row.id });
    const found = rows
      .filter(({ is_last }) => !is_last)
      .map((row): FoundEnd => ({ ...placeOf(row), day: row.day, bytes: row.bytes }));
    const last = rows.find(({ is_last }) => is_last);
    return { found, lookedTo: last === undefined ? null : placeOf(last) };
  }
}

const columns = 'id, state, since, until, published, created_at, finished_at';

const startText = `
INSERT INTO ingest.redeliveries
  (tenant, id, since, until, request_hash, created_at, after_created_at)
SELECT $1, $2, $3::timestamptz, $4::timestamptz, $5::bytea, $6::timestamptz,
  $3::timestamptz
WHERE (SELECT count(*) FROM ingest.redeliveries WHERE tenant = $1) < $7::int
ON CONFLICT DO NOTHING
RETURNING ${columns}`;

const metText = `
SELECT ${columns}, request_hash FROM ingest.redeliveries
WHERE tenant = $1 AND (id = $2 OR state = 'running')`;

const findText = `SELECT ${columns} FROM ingest.redeliveries WHERE tenant = $1 AND id = $2`;

const listText = `
SELECT ${columns} FROM ingest.redeliveries
WHERE tenant = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
ORDER BY created_at DESC, id DESC
LIMIT $4`;

const anyText = `SELECT FROM ingest.redeliveries WHERE state = 'running' LIMIT 1`;

/** While Kafka is away or busy, ends must not fill the outbox: the walk waits. */
const takeTurnText = `
WITH turn AS (
  SELECT FROM ingest.redelivery_pace
  WHERE stepped_at <= clock_timestamp() - $1 * interval '1 ms'
    AND (SELECT count(*) FROM (SELECT FROM ingest.outbox LIMIT $2::int) AS unsent) < $2::int
  FOR UPDATE SKIP LOCKED
)
UPDATE ingest.redelivery_pace SET stepped_at = clock_timestamp() FROM turn`;

/** Places as text: a JavaScript date would lose the microseconds. */
const nextText = `
SELECT tenant, ${columns}, leg, after_created_at::text, after_id
FROM ingest.redeliveries WHERE state = 'running'
ORDER BY stepped_at, tenant
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED`;

/**
 * Along the index of a tenant's jobs by acceptance. Sizes are told without reading the bodies. The
 * last row is where the look ended, if there is more to look at.
 */
const lookText = `
WITH looked AS MATERIALIZED (
  SELECT id, day, created_at,
    finished_at >= greatest($5::timestamptz, now() - $7::interval)
      AND finished_at < $6::timestamptz AS ended,
    octet_length(first_event) + coalesce(octet_length(outcome), 0)
      + coalesce(octet_length(answer), 0) AS bytes
  FROM ingest.jobs
  WHERE tenant = $1 AND ${byTime} AND (created_at, id) > ($2::timestamptz, $3::text)
    AND created_at < $4::timestamptz
    AND day BETWEEN ($2::timestamptz AT TIME ZONE 'UTC')::date
      AND ($4::timestamptz AT TIME ZONE 'UTC')::date
  ORDER BY created_at, id
  LIMIT $8::int
), ends AS (
  SELECT *, false AS is_last FROM looked WHERE ended ORDER BY created_at, id LIMIT $9::int
), last AS (
  SELECT *, true AS is_last FROM looked ORDER BY created_at, id OFFSET $8::int - 1
)
SELECT id, day::text, created_at::text AS place, bytes, is_last
FROM (SELECT * FROM ends UNION ALL SELECT * FROM last) AS found
ORDER BY created_at, id`;

const goOnText = `
UPDATE ingest.redeliveries SET
  published = published + $3, stepped_at = clock_timestamp(), leg = $4,
  after_created_at = $5::timestamptz, after_id = $6
WHERE tenant = $1 AND id = $2
RETURNING ${columns}`;

const endText = `
UPDATE ingest.redeliveries SET
  published = published + $3, state = 'done',
  finished_at = date_trunc('milliseconds', clock_timestamp())
WHERE tenant = $1 AND id = $2
RETURNING ${columns}`;

const forgetText = `
DELETE FROM ingest.redeliveries WHERE finished_at < now() - $1::interval`;

/** Bytes of bodies that are made into events at a time: some milliseconds without requests. */
const bytesAtOnce = 512 * 1024;

/** Makes the events, and lets the process answer requests in between: bodies may be large. */
async function tellAll(
  jobs: readonly EndedJobRow[],
  tell: (job: EndedJobRow) => OutgoingMessage | null,
): Promise<{ messages: OutgoingMessage[]; untold: string[] }> {
  const messages: OutgoingMessage[] = [];
  const untold: string[] = [];
  let bytes = 0;
  for (const job of jobs) {
    const message = tell(job);
    if (message === null) untold.push(job.id);
    else messages.push(message);
    bytes += job.firstEventJson.length + (job.answerJson?.length ?? 0);
    if (bytes < bytesAtOnce) continue;
    bytes = 0;
    await setImmediate();
  }
  return { messages, untold };
}

/** W1: the place that this transaction commits. */
async function goOn(
  client: PoolClient,
  { tenant, id }: WalkingRow,
  o: { readonly next: WalkStep['next']; readonly published: number },
): Promise<RedeliveryView> {
  const { next, published } = o;
  const names = [tenant, id, published];
  const { rows } = await (next === null
    ? client.query<RedeliveryRow>(endText, names)
    : client.query<RedeliveryRow>(goOnText, [
        ...names,
        next.leg,
        next.after.createdAt,
        next.after.id,
      ]));
  const [row] = rows;
  if (row === undefined) throw new TypeError('a locked row is gone');
  return viewOf(row);
}

/** What stood in the way: the same id, or the one that runs. */
function standing(asked: NewRedelivery, met: readonly StandingRow[]): RedeliveryStart {
  const isSame = (row: StandingRow) => row.request_hash.equals(asked.order.requestHash);
  const named = met.find(({ id }) => id === asked.id);
  if (named !== undefined) {
    return isSame(named) ? { kind: 'standing', view: viewOf(named) } : { kind: 'conflict' };
  }
  const [running] = met;
  if (running === undefined) throw new TypeError('nothing stood in the way');
  return isSame(running)
    ? { kind: 'standing', view: viewOf(running) }
    : { kind: 'busy', id: running.id };
}

function viewOf(row: RedeliveryRow): RedeliveryView {
  return redeliveryViewSchema.parse({
    id: row.id,
    state: row.state,
    since: row.since.toISOString(),
    until: row.until.toISOString(),
    published: row.published,
    created_at: row.created_at.toISOString(),
    finished_at: row.finished_at?.toISOString(),
  });
}
