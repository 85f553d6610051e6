import {
  apiKeysPerTenantMax,
  tenantIdSchema,
  type ApiKeyView,
  type TenantId,
} from '@millrace/contracts';
import type { Pool, TenantDatabase } from '@millrace/postgres';

import type { KeptApiKey } from '../core/api-key.ts';
import type { TenantQuery } from '../core/tenant-query.ts';
import { ApiKeys } from '../ports.ts';

interface ApiKeyRow {
  readonly id: string;
  readonly tenant: string;
  readonly label: string;
  readonly last4: string;
  readonly created_at: Date;
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
}

const columns = 'id, tenant, label, last4, created_at, last_used_at, revoked_at';

/** The note of the last use is renewed by the minute: no write for each lookup. */
const findText = `
WITH found AS (
  SELECT key_hash, tenant, last_used_at
  FROM ingest.api_keys JOIN ingest.tenants ON tenants.id = api_keys.tenant
  WHERE key_hash = $1 AND revoked_at IS NULL AND disabled_at IS NULL
), used AS (
  UPDATE ingest.api_keys AS key SET last_used_at = now()
  FROM found
  WHERE key.key_hash = found.key_hash
    AND (found.last_used_at IS NULL OR found.last_used_at < now() - interval '1 minute')
)
SELECT tenant FROM found`;

/** One after the other for each tenant, or two at once could both see room for one. */
const lockText = `SELECT pg_advisory_xact_lock(hashtext('ingest.api_keys'), hashtext($1))`;

const createText = `
INSERT INTO ingest.api_keys (tenant, key_hash, label, last4)
SELECT $1, $2, $3, $4
WHERE (SELECT count(*) FROM ingest.api_keys WHERE tenant = $1 AND revoked_at IS NULL) < $5
RETURNING ${columns}`;

/** By the millisecond, as the cursor says it. */
const listText = `
SELECT ${columns} FROM ingest.api_keys
WHERE tenant = $1
  AND ($2::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) < ($2, $3))
ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC
LIMIT $4`;

const revokeText = `
UPDATE ingest.api_keys SET revoked_at = coalesce(revoked_at, now())
WHERE tenant = $1 AND id = $2
RETURNING ${columns}`;

/**
 * The keys' table. Whose a key is, is asked by the pipeline's role, since no tenant is known yet;
 * everything else runs for one tenant.
 */
export class PostgresApiKeys extends ApiKeys {
  readonly #pool: Pool;
  readonly #own: TenantDatabase;

  constructor(pool: Pool, own: TenantDatabase) {
    super();
    this.#pool = pool;
    this.#own = own;
  }

  async findTenant(hash: Buffer): Promise<TenantId | null> {
    const query = { name: 'find_api_key', text: findText, values: [hash] };
    const { rows } = await this.#pool.query<{ tenant: string }>(query);
    const [row] = rows;
    return row === undefined ? null : tenantIdSchema.parse(row.tenant);
  }

  async create(
    tenant: TenantId,
    key: KeptApiKey & { readonly label: string },
  ): Promise<ApiKeyView | null> {
    const { hash, label, last4 } = key;
    const { rows } = await this.#own.queryLast<ApiKeyRow>(tenant, [
      { text: lockText, values: [tenant] },
      { text: createText, values: [tenant, hash, label, last4, apiKeysPerTenantMax] },
    ]);
    return rows.map(view)[0] ?? null;
  }

  async list(tenant: TenantId, { cursor, limit }: TenantQuery): Promise<ApiKeyView[]> {
    const after = cursor === undefined ? null : new Date(cursor.createdAtMs).toISOString();
    const values = [tenant, after, cursor?.id ?? null, limit + 1];
    const { rows } = await this.#own.query<ApiKeyRow>(tenant, { text: listText, values });
    return rows.map(view);
  }

  async revoke(tenant: TenantId, id: string): Promise<ApiKeyView | null> {
    const query = { text: revokeText, values: [tenant, id] };
    const { rows } = await this.#own.query<ApiKeyRow>(tenant, query);
    return rows.map(view)[0] ?? null;
  }
}

function view(row: ApiKeyRow): ApiKeyView {
  return {
    id: row.id,
    tenant: row.tenant,
    label: row.label,
    last4: row.last4,
    created_at: row.created_at.toISOString(),
    last_used_at: row.last_used_at?.toISOString() ?? null,
    revoked_at: row.revoked_at?.toISOString() ?? null,
  };
}
