import {
  liveSecrets,
  parseSigningSecrets,
  tenantSecretsPlace,
  type TenantChanged,
} from '@millrace/contracts';
import type { SecretBox } from '@millrace/runtime';
import { LRUCache } from 'lru-cache';
import type { Pool } from 'pg';

import { BadRowError } from './bad-row-error.ts';
import { GroupCommit } from './group-commit.ts';
import type { SealedColumn } from './sealed-column.ts';

/** How long another process's rotation may go unseen; the old secret lives on for hours. */
const cacheMsMax = 5_000;
/** Tenants whose secrets are kept at hand: some megabytes. */
const cachedTenantsMax = 10_000;

/** Secrets that the database refused: the next change of the tenant mends it. */
export interface RefusedSecrets {
  readonly tenant: string;
  readonly error: BadRowError;
}

export interface TenantSecretTableOptions<Key> {
  readonly pool: Pool;
  readonly box: SecretBox;
  /** Where the table `tenants` is. */
  readonly schema: string;
  /** What a secret is to whoever signs with it. */
  readonly keyOf: (secret: string) => Key;
}

/**
 * The signing secrets of tenants, as `tenants.changed.v1` tells them: in a table of the service,
 * sealed as they were told, with a short memory in front.
 */
export class TenantSecretTable<Key> {
  readonly #options: TenantSecretTableOptions<Key>;
  readonly #puts: GroupCommit<TenantChanged, void>;
  readonly #cache = new LRUCache<string, Promise<readonly Key[] | null>>({
    max: cachedTenantsMax,
    ttl: cacheMsMax,
  });

  constructor(options: TenantSecretTableOptions<Key>) {
    this.#options = options;
    const { pool, schema } = options;
    this.#puts = new GroupCommit({
      name: `${schema} tenants put`,
      pool,
      keyOf: ({ tenant }) => tenant,
      commit: async (client, items) => {
        const values = this.#columns(items);
        await client.query({ name: `${schema}_tenants_put`, text: putSql(schema), values });
        return items.map(() => undefined);
      },
    });
  }

  /** Of those that live, newest first; null while the tenant is not known here yet. */
  keysOf(tenant: string): Promise<readonly Key[] | null> {
    const known = this.#cache.get(tenant);
    if (known !== undefined) return known;
    // The promise is kept, so that a burst asks once.
    const reading = this.#read(tenant);
    this.#cache.set(tenant, reading);
    const forget = (): void => {
      if (this.#cache.peek(tenant) === reading) this.#cache.delete(tenant);
    };
    reading.then((keys) => {
      if (keys === null) forget();
    }, forget);
    return reading;
  }

  /**
   * A late copy of an older state changes nothing.
   * @throws when Postgres is away: some of it may be kept, and all of it may come again.
   */
  async put(changed: readonly TenantChanged[]): Promise<readonly RefusedSecrets[]> {
    const results = await this.#puts.submitAll(changed);
    for (const { tenant } of changed) this.#cache.delete(tenant);
    return changed.flatMap(({ tenant }, i) => {
      const result = results[i];
      if (result?.status !== 'rejected') return [];
      const error: unknown = result.reason;
      if (!(error instanceof BadRowError)) throw error;
      return [{ tenant, error }];
    });
  }

  async #read(tenant: string): Promise<readonly Key[] | null> {
    const { box, keyOf, pool, schema } = this.#options;
    const { rows } = await pool.query<{ secrets: Buffer }>({
      name: `${schema}_tenants_secrets`,
      text: `SELECT secrets FROM ${schema}.tenants WHERE tenant = $1`,
      values: [tenant],
    });
    const [row] = rows;
    if (row === undefined) return null;
    const secrets = parseSigningSecrets(box.open(row.secrets, tenantSecretsPlace(tenant)));
    return liveSecrets(secrets, Date.now()).map(({ secret }) => keyOf(secret));
  }

  #columns(items: readonly TenantChanged[]): unknown[][] {
    const { box } = this.#options;
    const sealed = (told: TenantChanged): Buffer =>
      told.sealed_secrets === undefined
        ? box.seal(JSON.stringify(told.webhook_secrets), tenantSecretsPlace(told.tenant))
        : Buffer.from(told.sealed_secrets, 'base64');
    return [
      items.map(({ tenant }) => tenant),
      items.map(sealed),
      items.map(({ changed_at: changedAt }) => changedAt),
    ];
  }
}

/** Where such a table keeps them. */
export function tenantSecretsColumn(schema: string): SealedColumn {
  return {
    table: `${schema}.tenants`,
    column: 'secrets',
    key: ['tenant'],
    placeOf: tenantSecretsPlace,
  };
}

const putSql = (schema: string): string => `
  INSERT INTO ${schema}.tenants AS known (tenant, secrets, changed_at)
  SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[])
  ON CONFLICT (tenant) DO UPDATE SET
    secrets = excluded.secrets, changed_at = excluded.changed_at
  WHERE known.changed_at <= excluded.changed_at`;
