import {
  deliveryAttemptViewSchema,
  deliveryIdSchema,
  deliveryViewSchema,
  pingEventType,
  traceHeaders,
  type DeliveryAttemptView,
  type DeliveryId,
  type DeliveryStatus,
  type DeliveryView,
  type PayloadCodec,
} from '@millrace/contracts';
import {
  boundedList,
  readBoundedList,
  type BoundedStatements,
  type TenantDatabase,
} from '@millrace/postgres';

import type { DeliveryCursor, DeliveryQuery, ReplayQuery } from '../core/delivery-query.ts';
import { webhookIdOf } from '../core/webhook-id.ts';
import {
  TenantDeliveries,
  type DeliveryPage,
  type PingDelivery,
  type Replayed,
  type ReplayOutcome,
} from '../management-ports.ts';
import { attemptOf, type AttemptRow } from './attempt-rows.ts';
import { wakeLanesSql } from './wake-sql.ts';

/** Attempts that are told, the latest: twice what a schedule has, and some of before its replay. */
const attemptsToldMax = 50;

interface DeliveryRow {
  readonly id: string;
  readonly webhook_id: string;
  readonly endpoint: string | null;
  readonly url: string;
  readonly event_type: string;
  readonly job_id: string | null;
  readonly state: string;
  readonly attempts: number;
  readonly not_before: Date;
  readonly created_at: Date;
  readonly created_at_micros: string;
  readonly ended_at: Date | null;
  readonly redriven_at: Date | null;
  readonly code: string | null;
}

type PlaceRow = Pick<DeliveryRow, 'id' | 'created_at_micros'>;

interface AnsweredRow extends AttemptRow {
  readonly body_excerpt: Buffer | null;
}

interface ReplayRow extends DeliveryRow {
  readonly was: string;
  readonly endpoint_status: string | null;
  /** Null when it was not sent again. */
  readonly replayed: boolean | null;
}

const micros = (time: string): string =>
  `(extract(epoch FROM ${time}) * 1000000)::bigint::text`;

/** Rows of before an event's type was kept have its record's. */
const columns = `d.id, d.webhook_id, d.endpoint, d.url,
  coalesce(d.event_type, d.record_headers ->> 'ce_type') AS event_type, d.job_id, d.state,
  d.attempts, d.not_before, d.created_at, ${micros('d.created_at')} AS created_at_micros,
  d.ended_at, d.redriven_at, d.code`;

const getSql = `
  SELECT ${columns} FROM dispatcher.deliveries AS d WHERE d.tenant = $1 AND d.id = $2`;

/** By the primary keys of both tables: the delivery says on which day its attempts are. */
const attemptsSql = `
  SELECT a.number, a.outcome, a.class, a.status, a.body_excerpt, a.dns_ms, a.connect_ms, a.tls_ms,
    a.first_byte_ms, a.total_ms, a.started_at
  FROM dispatcher.deliveries AS d
    LEFT JOIN dispatcher.delivery_attempts AS a ON a.delivery_id = d.id AND a.day = d.day
  WHERE d.tenant = $1 AND d.id = $2
  ORDER BY a.number DESC LIMIT ${attemptsToldMax}`;

/**
 * What a replay makes of a row: a new schedule under the same id and with the same bytes. Attempts
 * keep their numbers. The record of a callback's delivery was given up at its end, so that one
 * which is given up again leaves no second dead letter: it can be replayed again.
 */
const replayedColumns = `state = 'waiting', not_before = now(), ended_at = NULL, code = NULL,
  redriven_at = now(), attempts_before = d.attempts`;

/** One that ended; an endpoint's only while the endpoint takes it. */
const replaySql = `
  WITH known AS (
    SELECT d.id, d.day, d.state, CASE WHEN d.endpoint IS NULL THEN 'enabled'
      WHEN e.deleted_at IS NULL THEN e.status END AS endpoint_status
    FROM dispatcher.deliveries AS d
      LEFT JOIN dispatcher.endpoints AS e ON e.tenant = d.tenant AND e.id = d.endpoint
    WHERE d.tenant = $1 AND d.id = $2
  ), replayed AS (
    UPDATE dispatcher.deliveries AS d SET ${replayedColumns}
    FROM known WHERE d.id = known.id AND d.day = known.day AND d.ended_at IS NOT NULL
      AND known.endpoint_status IN ('enabled', 'paused')
    RETURNING ${columns}, d.tenant, d.origin
  ), woken AS (
    ${wakeLanesSql('SELECT tenant, origin, not_before FROM replayed')}
  )
  SELECT replayed.*, known.state AS was, known.endpoint_status, replayed.id IS NOT NULL AS replayed
  FROM known LEFT JOIN replayed USING (id)`;

/**
 * The oldest first. What was replayed since `until` is left alone: asked for the rest again and
 * again, none is sent twice. The states stand in the text, since the index of what was given up is
 * found by them.
 */
const replayAllSql = ({ endpoint, statuses }: ReplayQuery): string => `
  WITH bound AS (
    SELECT coalesce($3::timestamptz, date_trunc('milliseconds', now())) AS until
  ), found AS (
    SELECT d.id, d.day FROM dispatcher.deliveries AS d
      LEFT JOIN dispatcher.endpoints AS e ON e.tenant = d.tenant AND e.id = d.endpoint
    WHERE d.tenant = $1 AND d.state IN (${statuses.map((status) => `'${status}'`).join(', ')})
      AND d.created_at >= $2 AND d.created_at < (SELECT until FROM bound)
      AND (d.redriven_at IS NULL OR d.redriven_at < (SELECT until FROM bound))
      AND (d.endpoint IS NULL OR e.deleted_at IS NULL AND e.status IN ('enabled', 'paused'))
      AND ${endpoint === null ? '$5::text IS NULL' : 'd.endpoint = $5'}
    ORDER BY d.created_at, d.id LIMIT $4 + 1
    FOR UPDATE OF d
  ), picked AS (
    SELECT id, day FROM found LIMIT $4
  ), replayed AS (
    UPDATE dispatcher.deliveries AS d SET ${replayedColumns}
    FROM picked WHERE d.id = picked.id AND d.day = picked.day
    RETURNING d.tenant, d.origin, d.not_before
  ), woken AS (
    ${wakeLanesSql('SELECT tenant, origin, not_before FROM replayed')}
  )
  SELECT (SELECT count(*) FROM replayed)::int AS count, until,
    (SELECT count(*) FROM found) > $4 AS more
  FROM bound`;

const pingSql = `
  WITH made AS (
    INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, state, endpoint,
      event_type, traceparent, tracestate)
    VALUES ($1, (now() AT TIME ZONE 'UTC')::date, $2, NULL, $3, $4, $5, 'waiting', $4, $6, $7, $8)
    RETURNING tenant, origin, not_before
  )
  ${wakeLanesSql('SELECT tenant, origin, not_before FROM made')}`;

/** Deliveries of one tenant at a time, under row level security. */
export class PostgresTenantDeliveries extends TenantDeliveries {
  constructor(
    private readonly database: TenantDatabase,
    private readonly codec: PayloadCodec,
  ) {
    super();
  }

  async list(tenant: string, query: DeliveryQuery): Promise<DeliveryPage> {
    const list = listQueries(tenant, query);
    const found = await readBoundedList<DeliveryRow, PlaceRow>(this.database, tenant, list);
    const { lookedUntil, rows } = found;
    const shown = rows.slice(0, query.limit);
    const last = rows.length > query.limit ? shown.at(-1) : lookedUntil;
    return { deliveries: shown.map(viewOf), next: last ? cursorOf(last) : null };
  }

  async get(tenant: string, id: DeliveryId): Promise<DeliveryView | null> {
    const { rows } = await this.database.query<DeliveryRow>(tenant, {
      text: getSql,
      values: [tenant, id],
    });
    const [row] = rows;
    return row === undefined ? null : viewOf(row);
  }

  async attempts(tenant: string, id: DeliveryId): Promise<DeliveryAttemptView[] | null> {
    const { rows } = await this.database.query<AnsweredRow>(tenant, {
      text: attemptsSql,
      values: [tenant, id],
    });
    if (rows.length === 0) return null;
    return rows.toReversed().flatMap((row) => {
      if (row.number === null) return [];
      const excerpt = this.excerptOf(row, tenant);
      return [deliveryAttemptViewSchema.parse({ ...attemptOf(row), response_excerpt: excerpt })];
    });
  }

  async replay(tenant: string, id: DeliveryId): Promise<ReplayOutcome> {
    const { rows } = await this.database.query<ReplayRow>(tenant, {
      text: replaySql,
      values: [tenant, id],
    });
    const [row] = rows;
    if (row === undefined) return { kind: 'unknown' };
    if (row.replayed === true) return { kind: 'replayed', delivery: viewOf(row) };
    if (row.endpoint_status === null) return { kind: 'endpoint_deleted' };
    if (row.endpoint_status === 'disabled') return { kind: 'endpoint_disabled' };
    return { kind: 'under_way' };
  }

  async replayAll(tenant: string, query: ReplayQuery): Promise<Replayed> {
    const { endpoint, limit, since, until } = query;
    const { rows } = await this.database.query<Replayed>(tenant, {
      text: replayAllSql(query),
      values: [tenant, since, until, limit, endpoint],
    });
    const [row] = rows;
    if (row === undefined) throw new TypeError('a statement without a row');
    return row;
  }

  async ping(delivery: PingDelivery): Promise<void> {
    const { body, endpoint, id, tenant, url } = delivery;
    const trace = delivery.traceHeaders;
    await this.database.query(tenant, {
      text: pingSql,
      values: [
        id,
        tenant,
        url,
        endpoint,
        this.codec.encode(body, { tenant, medium: 'table' }),
        pingEventType,
        trace[traceHeaders.parent] ?? null,
        trace[traceHeaders.state] ?? null,
      ],
    });
  }

  /** Whatever the receiver sent: a byte that is no text becomes a mark, not an error. */
  private excerptOf({ body_excerpt: excerpt }: AnsweredRow, tenant: string): string | null {
    if (excerpt === null) return null;
    return this.codec.decode(excerpt, { tenant, medium: 'table' }).toString('utf8');
  }
}

/** Deliveries that one request looks at for those that it asks for: about 0.2 s. */
const lookedAtMax = 50_000;

/** What the index of what was not delivered is found by: a plan cannot know it of a parameter. */
const undelivered: readonly DeliveryStatus[] = ['dead', 'skipped_disabled'];

/**
 * Along the narrowest index that there is for what is asked, newest first; what it does not answer
 * is looked for among the first `lookedAt`.
 */
export function listQueries(
  tenant: string,
  query: DeliveryQuery,
  lookedAt = lookedAtMax,
): BoundedStatements {
  const { after, endpoint, jobId, since, status, until } = query;
  const values: unknown[] = [tenant];
  const conditions = ['d.tenant = $1'];
  const add = (condition: (param: string) => string, value: unknown): void => {
    if (value !== null) conditions.push(condition(`$${values.push(value)}`));
  };
  // A range of ids: to the callback, and to endpoints, whose name follows after a full stop.
  const webhookId = jobId === null ? null : webhookIdOf(`${tenant}:${jobId}:finished`);
  add((p) => `d.id >= ${p} AND d.id < ${p} || '/'`, webhookId);
  add((p) => `d.created_at >= ${p}`, since);
  add((p) => `d.created_at < ${p}`, until);
  if (after !== null) {
    const micros = `$${values.push(after.createdAtMicros)}::bigint`;
    const at = `timestamptz 'epoch' + ${micros} * interval '1 microsecond'`;
    conditions.push(`(d.created_at, d.id) < (${at}, $${values.push(after.id)})`);
  }
  const isUndelivered = status !== null && undelivered.includes(status);
  if (isUndelivered) conditions.push(`d.state = '${status}'`);
  const wanted = [
    ...(endpoint === null ? [] : [['endpoint', endpoint] as const]),
    ...(status === null || isUndelivered ? [] : [['state', status] as const]),
  ];
  return boundedList({
    walk: `SELECT ${columns} FROM dispatcher.deliveries AS d
      WHERE ${conditions.join(' AND ')} ORDER BY d.created_at DESC, d.id DESC`,
    values,
    wanted,
    orderBy: 'created_at DESC, id DESC',
    place: 'id, created_at_micros',
    limit: query.limit + 1,
    lookedAt,
  });
}

function cursorOf(row: PlaceRow): DeliveryCursor {
  return { createdAtMicros: row.created_at_micros, id: deliveryIdSchema.parse(row.id) };
}

function viewOf(row: DeliveryRow): DeliveryView {
  return deliveryViewSchema.parse({
    id: row.id,
    webhook_id: row.webhook_id,
    endpoint: row.endpoint,
    url: row.url,
    event_type: row.event_type,
    job_id: row.job_id,
    status: row.state,
    attempts: row.attempts,
    next_attempt_at: row.state === 'waiting' ? row.not_before.toISOString() : null,
    created_at: row.created_at.toISOString(),
    ended_at: row.ended_at?.toISOString() ?? null,
    replayed_at: row.redriven_at?.toISOString() ?? null,
    code: row.code,
  });
}
