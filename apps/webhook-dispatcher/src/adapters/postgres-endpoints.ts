import { parseSigningSecrets, type OutgoingMessage } from '@millrace/contracts';
import { signingKeysOf } from '@millrace/egress';
import { outboxColumns, type Pool } from '@millrace/postgres';
import type { SecretBox } from '@millrace/runtime';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';

import type { Endpoint, EndpointSecrets } from '../core/endpoint.ts';
import { endpointHeadersPlace, endpointSecretsPlace } from '../core/sealed-places.ts';
import { Endpoints, type EndpointEnd, type EndpointName } from '../ports.ts';

/** How long a change by the API may go unseen here. */
const cacheMsMax = 2_000;
/** Tenants whose endpoints are kept at hand: more than there may be. */
const cachedTenantsMax = 1_000;
/** Endpoints whose secrets are kept opened. */
const openedMax = 10_000;

interface EndpointRow {
  readonly tenant: string;
  readonly id: string;
  readonly url: string;
  readonly event_types: string[];
  readonly payload: 'full' | 'thin';
  readonly status: 'enabled' | 'paused' | 'disabled';
  readonly in_flight_max: number;
  readonly rate_per_second: number | null;
  readonly timeout_ms: number;
  readonly schedule_ms: number[] | null;
  readonly headers: Buffer | null;
  readonly secrets: Buffer;
  readonly version: number;
}

const headersSchema = z.record(z.string(), z.string());

const ofTenantsSql = `
  SELECT tenant, id, url, event_types, payload, status, in_flight_max, rate_per_second, timeout_ms,
    schedule_ms, headers, secrets, version
  FROM dispatcher.endpoints WHERE tenant = ANY($1::text[]) AND deleted_at IS NULL
  ORDER BY tenant, id`;

/** The outbox's part of a statement whose CTE `changed` says whether there is anything to tell. */
const noticeSql = (firstParam: number): string => {
  const param = (offset: number): string => `$${firstParam + offset}`;
  return `INSERT INTO dispatcher.outbox (id, topic, key, headers, value)
    SELECT n.* FROM unnest(${param(0)}::text[], ${param(1)}::text[], ${param(2)}::text[],
      ${param(3)}::jsonb[], ${param(4)}::bytea[]) AS n, changed
    ON CONFLICT (id) DO NOTHING`;
};

const disableSql = `
  WITH changed AS (
    UPDATE dispatcher.endpoints SET status = 'disabled', disabled_reason = $3,
      status_changed_at = now(), changed_at = now(), version = version + 1
    WHERE tenant = $1 AND id = $2 AND status <> 'disabled' AND deleted_at IS NULL
    RETURNING tenant, id
  ), told AS (
    ${noticeSql(4)}
  )
  INSERT INTO dispatcher.lanes AS l (tenant, origin, closed_until, closed_why)
  SELECT tenant, id, 'infinity', 'disabled' FROM changed
  ON CONFLICT (tenant, origin) DO UPDATE SET
    closed_until = 'infinity', closed_why = 'disabled', probing_until = NULL, changed_at = now()`;

const tellFailingSql = `
  WITH changed AS (
    UPDATE dispatcher.lanes SET failing_notified_at = now()
    WHERE tenant = $1 AND origin = $2 AND failing_notified_at IS NULL
    RETURNING origin
  )
  ${noticeSql(3)}`;

/** Registered endpoints in Postgres, with a short memory in front. */
export class PostgresEndpoints extends Endpoints {
  readonly #pool: Pool;
  readonly #box: SecretBox;
  readonly #cache = new LRUCache<string, Promise<readonly Endpoint[]>>({
    max: cachedTenantsMax,
    ttl: cacheMsMax,
  });
  /** By name and version: keys are made once, and not for every webhook. */
  readonly #opened = new LRUCache<string, EndpointSecrets>({ max: openedMax });

  constructor(pool: Pool, box: SecretBox) {
    super();
    this.#pool = pool;
    this.#box = box;
  }

  async ofTenants(tenants: readonly string[]): Promise<Map<string, readonly Endpoint[]>> {
    // Held here from the first look on: what is remembered may be forgotten before all are there.
    const known = new Map(
      [...new Set(tenants)].map((tenant) => [tenant, this.#cache.get(tenant)] as const),
    );
    const missing = [...known].flatMap(([tenant, ofTenant]) =>
      ofTenant === undefined ? [tenant] : [],
    );
    const loaded = missing.length === 0 ? null : this.#load(missing);
    const found = new Map<string, readonly Endpoint[]>();
    for (const [tenant, ofTenant] of known) {
      found.set(tenant, (await (ofTenant ?? loaded?.get(tenant))) ?? []);
    }
    return found;
  }

  async find({ tenant, id }: EndpointName): Promise<Endpoint | null> {
    const byId = (endpoint: Endpoint) => endpoint.id === id;
    const known = (await this.ofTenants([tenant])).get(tenant)?.find(byId);
    if (known?.status === 'enabled') return known;
    // Whoever handed the delivery over knows better than what is remembered: it may be newer than
    // that, or have been enabled since.
    this.#cache.delete(tenant);
    return (await this.ofTenants([tenant])).get(tenant)?.find(byId) ?? null;
  }

  async disable({ tenant, id, reason, notice }: EndpointEnd): Promise<void> {
    await this.#pool.query(disableSql, [tenant, id, reason, ...outboxColumns([notice])]);
    this.#cache.delete(tenant);
  }

  async tellFailing({ tenant, id }: EndpointName, notice: OutgoingMessage): Promise<void> {
    await this.#pool.query(tellFailingSql, [tenant, id, ...outboxColumns([notice])]);
  }

  /** One statement for all of them. The promises are kept, so that a burst asks once. */
  #load(tenants: readonly string[]): ReadonlyMap<string, Promise<readonly Endpoint[]>> {
    const loading = this.#read(tenants).then((all) => Map.groupBy(all, ({ tenant: of }) => of));
    const loaded = new Map<string, Promise<readonly Endpoint[]>>();
    for (const tenant of tenants) {
      const ofTenant = loading.then((byTenant) => byTenant.get(tenant) ?? []);
      loaded.set(tenant, ofTenant);
      this.#cache.set(tenant, ofTenant);
      ofTenant.catch(() => {
        if (this.#cache.peek(tenant) === ofTenant) this.#cache.delete(tenant);
      });
    }
    return loaded;
  }

  async #read(tenants: readonly string[]): Promise<Endpoint[]> {
    const { rows } = await this.#pool.query<EndpointRow>({
      name: 'endpoints_of_tenants',
      text: ofTenantsSql,
      values: [tenants],
    });
    return rows.map((row) => this.#endpointOf(row));
  }

  #endpointOf(row: EndpointRow): Endpoint {
    return {
      tenant: row.tenant,
      id: row.id,
      url: row.url,
      eventTypes: row.event_types,
      payload: row.payload,
      status: row.status,
      inFlightMax: row.in_flight_max,
      ratePerSecond: row.rate_per_second,
      timeoutMs: row.timeout_ms,
      scheduleMs: row.schedule_ms,
      secrets: this.#secretsOf(row),
    };
  }

  /** Null when they cannot be opened: its deliveries wait, and those of others go on. */
  #secretsOf(row: EndpointRow): EndpointSecrets | null {
    const key = `${row.tenant} ${row.id} ${row.version}`;
    const known = this.#opened.get(key);
    if (known !== undefined) return known;
    try {
      const opened = this.#open(row);
      this.#opened.set(key, opened);
      return opened;
    } catch {
      return null;
    }
  }

  #open({ tenant, id, headers, secrets }: EndpointRow): EndpointSecrets {
    const kept = parseSigningSecrets(this.#box.open(secrets, endpointSecretsPlace(tenant, id)));
    const signing = kept.map(({ secret, expires_at: expiresAt }) => ({
      keys: signingKeysOf(secret),
      expiresAtMs: expiresAt === null ? null : Date.parse(expiresAt),
    }));
    if (headers === null) return { headers: {}, signing };
    const json: unknown = JSON.parse(this.#box.open(headers, endpointHeadersPlace(tenant, id)));
    return { headers: headersSchema.parse(json), signing };
  }
}
