import {
  disabledReasonSchema,
  endpointIdSchema,
  endpointsPerTenantMax,
  parseSigningSecrets,
  webhookEndpointStatusSchema,
  webhookEventTypeSchema,
  type EndpointId,
  type WebhookEndpointHealth,
} from '@millrace/contracts';
import type { TenantDatabase } from '@millrace/postgres';
import type { SecretBox } from '@millrace/runtime';
import { z } from 'zod';

import type { EndpointState, RegisteredEndpoint } from '../core/registered-endpoint.ts';
import { endpointHeadersPlace, endpointSecretsPlace } from '../core/sealed-places.ts';
import { EndpointRegistry, type LaneEffect, type NewEndpoint } from '../management-ports.ts';

/** Days after which no delivery is kept any more that names a deleted endpoint. */
const deletedDaysMax = 60;
interface EndpointRow {
  readonly tenant: string;
  readonly id: string;
  readonly url: string;
  readonly description: string;
  readonly event_types: readonly string[];
  readonly payload: string;
  readonly headers: Buffer | null;
  readonly rate_per_second: number | null;
  readonly in_flight_max: number;
  readonly timeout_ms: number;
  readonly schedule_ms: readonly number[] | null;
  readonly secrets: Buffer;
  readonly status: string;
  readonly disabled_reason: string | null;
  readonly status_changed_at: Date;
  readonly version: number;
  readonly created_at: Date;
  readonly changed_at: Date;
  /** What its lane says; null when it has none. */
  readonly closed_until: Date | null;
  readonly closed_why: string | null;
  readonly last_success_at: Date | null;
  readonly failing_since: Date | null;
  readonly failures: number | null;
}

const ownColumns = `e.tenant, e.id, e.url, e.description, e.event_types, e.payload, e.headers,
  e.rate_per_second, e.in_flight_max, e.timeout_ms, e.schedule_ms, e.secrets, e.status,
  e.disabled_reason, e.status_changed_at, e.version, e.created_at, e.changed_at`;

/** A lane that is paused or disabled says no more than its endpoint. */
const healthColumns = `
  CASE WHEN lane.closed_why IN ('retry_after', 'breaker') AND lane.closed_until > now()
    THEN lane.closed_until END AS closed_until,
  CASE WHEN lane.closed_why IN ('retry_after', 'breaker') AND lane.closed_until > now()
    THEN lane.closed_why END AS closed_why,
  lane.last_success_at, lane.failing_since, lane.failures`;

const readSql = `
  SELECT ${ownColumns}, ${healthColumns}
  FROM dispatcher.endpoints AS e
    LEFT JOIN dispatcher.lanes AS lane ON lane.tenant = e.tenant AND lane.origin = e.id
  WHERE e.tenant = $1 AND e.deleted_at IS NULL`;
const getSql = `${readSql} AND e.id = $2`;
const listSql = `${readSql} AND ($2::text IS NULL OR e.id < $2) ORDER BY e.id DESC LIMIT $3`;

/** One after the other of each tenant, or two at once would both find room for the last one. */
const lockSql = `SELECT pg_advisory_xact_lock(hashtext('millrace.endpoints.' || $1))`;

const pruneSql = `
  DELETE FROM dispatcher.endpoints
  WHERE tenant = $1 AND deleted_at < now() - interval '${deletedDaysMax} days'`;

/** What an endpoint is made of, and in the same order what may be changed of it. */
const stateColumns = `url, description, event_types, payload, headers, rate_per_second,
  in_flight_max, timeout_ms, schedule_ms, secrets, status, disabled_reason`;
const stateValues = `$3::text, $4::text, $5::text[], $6::text, $7::bytea, $8::real, $9::int,
  $10::int, $11::int[], $12::bytea, $13::text, $14::text`;
const noHealth = `NULL::timestamptz AS closed_until, NULL::text AS closed_why,
  NULL::timestamptz AS last_success_at, NULL::timestamptz AS failing_since, NULL::int AS failures`;

const createSql = `
  WITH room AS (
    SELECT count(*) < ${endpointsPerTenantMax} AS free FROM dispatcher.endpoints
    WHERE tenant = $1 AND deleted_at IS NULL
  ), e AS (
    INSERT INTO dispatcher.endpoints (tenant, id, ${stateColumns})
    SELECT $1, $2, ${stateValues} FROM room WHERE free
    RETURNING *
  )
  SELECT ${ownColumns}, ${noHealth} FROM e`;

/**
 * The endpoint and its lane in one commit. A pause closes the lane for ever, a resumption opens it,
 * and enabling forgives it what led to the end: it would be disabled again by its next failure.
 */
const changeSql = `
  WITH e AS (
    UPDATE dispatcher.endpoints AS known SET (${stateColumns}) = ROW(${stateValues}),
      status_changed_at = CASE known.status WHEN $13 THEN known.status_changed_at ELSE now() END,
      version = known.version + 1, changed_at = now()
    WHERE known.tenant = $1 AND known.id = $2 AND known.version = $15
      AND known.deleted_at IS NULL
    RETURNING known.*
  ), closed AS (
    INSERT INTO dispatcher.lanes AS lane (tenant, origin, closed_until, closed_why)
    SELECT tenant, id, 'infinity', 'paused' FROM e WHERE $16 = 'close'
    ON CONFLICT (tenant, origin) DO UPDATE SET closed_until = 'infinity', closed_why = 'paused',
      probing_until = NULL, changed_at = now()
  ), opened AS (
    UPDATE dispatcher.lanes AS lane SET closed_until = NULL, closed_why = NULL,
      probing_until = NULL, changed_at = now()
    FROM e WHERE lane.tenant = e.tenant AND lane.origin = e.id AND $16 = 'open'
  ), forgiven AS (
    UPDATE dispatcher.lanes AS lane SET closed_until = NULL, closed_why = NULL,
      probing_until = NULL, in_flight_max = NULL, timeouts_in_a_row = 0,
      blocked_in_a_row = 0, opened = 0, failing_since = NULL, failures = 0,
      failing_notified_at = NULL, changed_at = now()
    FROM e WHERE lane.tenant = e.tenant AND lane.origin = e.id AND $16 = 'forgive'
  )
  SELECT ${ownColumns}, ${healthColumns}
  FROM e LEFT JOIN dispatcher.lanes AS lane
    ON lane.tenant = e.tenant AND lane.origin = e.id AND $16 <> 'forgive'`;

/** What waits for it is ended by the keeping of lanes, and what is being sent by its answer. */
const removeSql = `
  UPDATE dispatcher.endpoints SET deleted_at = now(), changed_at = now(), version = version + 1
  WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL`;

/** Endpoints of one tenant at a time, under row level security. */
export class PostgresEndpointRegistry extends EndpointRegistry {
  constructor(
    private readonly database: TenantDatabase,
    private readonly box: SecretBox,
  ) {
    super();
  }

  async create({ tenant, id, state }: NewEndpoint): Promise<RegisteredEndpoint | null> {
    const { rows } = await this.database.queryLast<EndpointRow>(tenant, [
      { text: lockSql, values: [tenant] },
      { text: pruneSql, values: [tenant] },
      { text: createSql, values: this.stateOf(tenant, id, state) },
    ]);
    return this.first(rows);
  }

  async get(tenant: string, id: EndpointId): Promise<RegisteredEndpoint | null> {
    const { rows } = await this.database.query<EndpointRow>(tenant, {
      text: getSql,
      values: [tenant, id],
    });
    return this.first(rows);
  }

  async list(
    tenant: string,
    { after, limit }: { readonly after: EndpointId | null; readonly limit: number },
  ): Promise<RegisteredEndpoint[]> {
    const { rows } = await this.database.query<EndpointRow>(tenant, {
      text: listSql,
      values: [tenant, after, limit],
    });
    return rows.map((row) => this.endpointOf(row));
  }

  async change(
    known: RegisteredEndpoint,
    state: EndpointState,
    lane: LaneEffect,
  ): Promise<RegisteredEndpoint | null> {
    const { id, tenant, version } = known;
    const { rows } = await this.database.query<EndpointRow>(tenant, {
      text: changeSql,
      values: [...this.stateOf(tenant, id, state), version, lane],
    });
    return this.first(rows);
  }

  async remove(tenant: string, id: EndpointId): Promise<boolean> {
    const { rowCount } = await this.database.query(tenant, {
      text: removeSql,
      values: [tenant, id],
    });
    return rowCount === 1;
  }

  private stateOf(tenant: string, id: EndpointId, state: EndpointState): unknown[] {
    const headers = JSON.stringify(state.headers);
    const secrets = JSON.stringify(state.secrets);
    return [
      tenant,
      id,
      state.url,
      state.description,
      state.eventTypes,
      state.payload,
      headers === '{}' ? null : this.box.seal(headers, endpointHeadersPlace(tenant, id)),
      state.ratePerSecond,
      state.inFlightMax,
      state.timeoutMs,
      state.scheduleMs,
      this.box.seal(secrets, endpointSecretsPlace(tenant, id)),
      state.status,
      state.disabledReason,
    ];
  }

  private first(rows: readonly EndpointRow[]): RegisteredEndpoint | null {
    const [row] = rows;
    return row === undefined ? null : this.endpointOf(row);
  }

  private endpointOf(row: EndpointRow): RegisteredEndpoint {
    const { tenant } = row;
    const id = endpointIdSchema.parse(row.id);
    return {
      tenant,
      id,
      url: row.url,
      description: row.description,
      eventTypes: z.array(webhookEventTypeSchema).parse(row.event_types),
      payload: z.enum(['full', 'thin']).parse(row.payload),
      headers: this.headersOf(row),
      ratePerSecond: row.rate_per_second,
      inFlightMax: row.in_flight_max,
      timeoutMs: row.timeout_ms,
      scheduleMs: row.schedule_ms,
      secrets: parseSigningSecrets(this.box.open(row.secrets, endpointSecretsPlace(tenant, id))),
      status: webhookEndpointStatusSchema.parse(row.status),
      disabledReason: disabledReasonSchema.nullable().parse(row.disabled_reason),
      statusChangedAt: row.status_changed_at,
      version: row.version,
      createdAt: row.created_at,
      changedAt: row.changed_at,
      health: healthOf(row),
    };
  }

  private headersOf({ headers, id, tenant }: EndpointRow): Record<string, string> {
    if (headers === null) return {};
    const json = this.box.open(headers, endpointHeadersPlace(tenant, id));
    return z.record(z.string(), z.string()).parse(JSON.parse(json));
  }
}

function healthOf(row: EndpointRow): WebhookEndpointHealth {
  return {
    closed_until: row.closed_until?.toISOString() ?? null,
    closed_why: z.enum(['retry_after', 'breaker']).nullable().parse(row.closed_why),
    last_success_at: row.last_success_at?.toISOString() ?? null,
    failing_since: row.failing_since?.toISOString() ?? null,
    failures: row.failures ?? 0,
  };
}
