import { createHash } from 'node:crypto';

import {
  parseSigningSecrets,
  secretExpirySecondsDefault,
  tenantIdSchema,
  tenantSecretsPlace,
  tenantsMax,
  type OutgoingMessage,
  type SigningSecret,
  type TenantId,
} from '@millrace/contracts';
import {
  inTransaction,
  outboxColumns,
  outboxInsertSql,
  type Pool,
  type PoolClient,
} from '@millrace/postgres';
import type { SecretBox } from '@millrace/runtime';

import type { KeptApiKey } from '../core/api-key.ts';
import { firstSecret, withNewSecret, type Tenant, type TenantChange } from '../core/tenant.ts';
import type { TenantQuery } from '../core/tenant-query.ts';
import {
  Tenants,
  type TellTenant,
  type TenantCreation,
  type TenantIntake,
  type Told,
} from '../ports.ts';

interface TenantRow {
  readonly id: string;
  readonly webhook_secrets: Buffer;
  readonly created_at: Date;
  readonly changed_at: Date;
  readonly disabled_at: Date | null;
}

interface GivenRow extends TenantRow {
  readonly given_secret_hash: Buffer | null;
}

const columns = 'id, webhook_secrets, created_at, changed_at, disabled_at';

/**
 * Later than every state before it, whatever the clocks of the replicas say: who follows the
 * changes keeps the latest.
 */
const nextChange = (known: string): string =>
  `greatest(date_trunc('milliseconds', clock_timestamp()),
    ${known}.changed_at + interval '1 millisecond')`;

/** Tenants are few and rarely made: one at a time, or two at once could pass the limit. */
const lockText = `SELECT pg_advisory_xact_lock(hashtext('ingest.tenants'))`;

const createText = `
INSERT INTO ingest.tenants (id, webhook_secrets, changed_at)
VALUES ($1, $2, date_trunc('milliseconds', clock_timestamp()))
RETURNING ${columns}`;

const keepText = `
INSERT INTO ingest.tenants AS known (id, webhook_secrets, given_secret_hash, changed_at)
VALUES ($1, $2, $3, date_trunc('milliseconds', clock_timestamp()))
ON CONFLICT (id) DO UPDATE SET webhook_secrets = excluded.webhook_secrets,
  given_secret_hash = excluded.given_secret_hash, changed_at = ${nextChange('known')}
RETURNING ${columns}`;

const keepKeyText = `
INSERT INTO ingest.api_keys (key_hash, tenant, label, last4) VALUES ($1, $2, 'default', $3)
ON CONFLICT (key_hash) DO UPDATE SET last4 = excluded.last4`;

const changeText = `
UPDATE ingest.tenants SET
  webhook_secrets = $2, disabled_at = $3, changed_at = ${nextChange('tenants')}
WHERE id = $1
RETURNING ${columns}`;

/** By the millisecond, as the cursor says it. */
const listText = `
SELECT ${columns} FROM ingest.tenants
WHERE $1::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) < ($1, $2)
ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC
LIMIT $3`;

const sealedOtherwiseText = `
SELECT id FROM ingest.tenants
WHERE substring(webhook_secrets FROM 1 FOR $2) <> $1 AND ($3::text IS NULL OR id > $3)
ORDER BY id LIMIT $4`;

const findText = `SELECT ${columns} FROM ingest.tenants WHERE id = $1`;
const findGivenText = `SELECT ${columns}, given_secret_hash FROM ingest.tenants WHERE id = $1`;

/** The tenants' table. Every change and the message that tells of it are one commit. */
export class PostgresTenants extends Tenants {
  readonly #pool: Pool;
  readonly #box: SecretBox;

  constructor(pool: Pool, box: SecretBox) {
    super();
    this.#pool = pool;
    this.#box = box;
  }

  create(id: TenantId, secret: string, tell: TellTenant): Promise<TenantCreation> {
    return inTransaction(this.#pool, async (client): Promise<TenantCreation> => {
      await client.query(lockText);
      const { rows } = await client.query<{ id: string }>('SELECT id FROM ingest.tenants');
      if (rows.some((row) => row.id === id)) return { kind: 'known' };
      if (rows.length >= tenantsMax) return { kind: 'limit' };
      const values = [id, this.#seal(id, firstSecret(secret, new Date()))];
      const told = await this.#write(client, { text: createText, values, tell });
      return { kind: 'created', ...told };
    });
  }

  keep(
    id: TenantId,
    given: { readonly secret: string; readonly key: KeptApiKey },
    tell: TellTenant,
  ): Promise<Told> {
    return inTransaction(this.#pool, async (client) => {
      await client.query(lockText);
      const hash = createHash('sha256').update(given.secret).digest();
      const secrets = await this.#secretsToKeep(client, { id, secret: given.secret, hash });
      const values = [id, this.#seal(id, secrets), hash];
      const told = await this.#write(client, { text: keepText, values, tell });
      await client.query(keepKeyText, [given.key.hash, id, given.key.last4]);
      return told;
    });
  }

  change(
    id: TenantId,
    decide: (tenant: Tenant) => TenantChange | null,
    tell: TellTenant,
  ): Promise<Told | null> {
    return inTransaction(this.#pool, async (client) => {
      const { rows } = await client.query<TenantRow>(`${findText} FOR UPDATE`, [id]);
      const [row] = rows;
      if (row === undefined) return null;
      const tenant = this.#tenant(row);
      const change = decide(tenant);
      if (change === null) return { tenant, message: null };
      const secrets = this.#seal(id, change.webhookSecrets);
      const values = [id, secrets, change.disabledAt];
      return this.#write(client, { text: changeText, values, tell });
    });
  }

  async find(id: TenantId): Promise<Tenant | null> {
    const { rows } = await this.#pool.query<TenantRow>(findText, [id]);
    const [row] = rows;
    return row === undefined ? null : this.#tenant(row);
  }

  async list({ cursor, limit }: TenantQuery): Promise<Tenant[]> {
    const after = cursor === undefined ? null : new Date(cursor.createdAtMs).toISOString();
    const values = [after, cursor?.id ?? null, limit + 1];
    const { rows } = await this.#pool.query<TenantRow>(listText, values);
    return rows.map((row) => this.#tenant(row));
  }

  async intakes(): Promise<TenantIntake[]> {
    const { rows } = await this.#pool.query<{ id: string; disabled: boolean }>({
      name: 'tenant_intakes',
      text: 'SELECT id, disabled_at IS NOT NULL AS disabled FROM ingest.tenants',
    });
    return rows.map(({ id, disabled }) => ({ tenant: tenantIdSchema.parse(id), disabled }));
  }

  async sealedOtherwise(after: TenantId | null, limit: number): Promise<TenantId[]> {
    const { mark } = this.#box;
    const values = [mark, mark.length, after, limit];
    const { rows } = await this.#pool.query<{ id: string }>(sealedOtherwiseText, values);
    return rows.map(({ id }) => tenantIdSchema.parse(id));
  }

  async #write(
    client: PoolClient,
    o: { readonly text: string; readonly values: unknown[]; readonly tell: TellTenant },
  ): Promise<{ readonly tenant: Tenant; readonly message: OutgoingMessage }> {
    const { rows } = await client.query<TenantRow>(o.text, o.values);
    const [row] = rows;
    if (row === undefined) throw new TypeError('a tenant was not written');
    const tenant = this.#tenant(row);
    const message = o.tell(tenant);
    await client.query(outboxInsertSql('ingest', 1), outboxColumns([message]));
    return { tenant, message };
  }

  /** A secret that was given before is no news: the tenant may have changed to others since. */
  async #secretsToKeep(
    client: PoolClient,
    given: { readonly id: TenantId; readonly secret: string; readonly hash: Buffer },
  ): Promise<readonly SigningSecret[]> {
    const { hash, id, secret } = given;
    const { rows } = await client.query<GivenRow>(`${findGivenText} FOR UPDATE`, [id]);
    const [row] = rows;
    const now = new Date();
    if (row === undefined) return firstSecret(secret, now);
    const tenant = this.#tenant(row);
    const isKnown = tenant.webhookSecrets.some((known) => known.secret === secret);
    if (isKnown || row.given_secret_hash?.equals(hash) === true) return tenant.webhookSecrets;
    const expirePreviousMs = secretExpirySecondsDefault * 1_000;
    const change = withNewSecret(tenant, { secret, expirePreviousMs, nowMs: now.getTime() });
    return change?.webhookSecrets ?? firstSecret(secret, now);
  }

  #seal(tenant: TenantId, secrets: readonly SigningSecret[]): Buffer {
    return this.#box.seal(JSON.stringify(secrets), tenantSecretsPlace(tenant));
  }

  #tenant(row: TenantRow): Tenant {
    const id = tenantIdSchema.parse(row.id);
    const json = this.#box.open(row.webhook_secrets, tenantSecretsPlace(id));
    return {
      id,
      webhookSecrets: parseSigningSecrets(json),
      sealedSecrets: row.webhook_secrets,
      createdAt: row.created_at,
      changedAt: row.changed_at,
      disabledAt: row.disabled_at,
    };
  }
}
