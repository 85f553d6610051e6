import { z } from 'zod';

import type { PayloadCodec } from '@millrace/contracts';
import { signingKeysOf, type SigningKeys } from '@millrace/egress';
import { GroupCommit, type Pool } from '@millrace/postgres';
import { LRUCache } from 'lru-cache';

import { Tenants, type TenantSecrets } from '../ports.ts';

/** How long another process's rotation may go unseen; the old secret lives on for hours. */
const cacheMsMax = 5_000;
/** Tenants whose secrets are kept at hand: some megabytes. */
const cachedTenantsMax = 10_000;

const secretsSchema = z.array(z.string());

/** Tenants in Postgres, their secrets through the codec, with a short memory in front. */
export class PostgresTenants extends Tenants {
  private readonly puts: GroupCommit<TenantSecrets, void>;
  private readonly cache = new LRUCache<string, Promise<readonly SigningKeys[] | null>>({
    max: cachedTenantsMax,
    ttl: cacheMsMax,
  });

  constructor(
    private readonly pool: Pool,
    private readonly codec: PayloadCodec,
  ) {
    super();
    this.puts = new GroupCommit({
      name: 'tenants put',
      pool,
      keyOf: ({ tenant }) => tenant,
      commit: async (client, items) => {
        await client.query({ name: 'tenants_put', text: putSql, values: this.columns(items) });
        return items.map(() => undefined);
      },
    });
  }

  signingKeysOf(tenant: string): Promise<readonly SigningKeys[] | null> {
    const known = this.cache.get(tenant);
    if (known !== undefined) return known;
    // The promise is kept, so that a burst of deliveries asks once.
    const reading = this.read(tenant);
    this.cache.set(tenant, reading);
    const forget = () => {
      if (this.cache.peek(tenant) === reading) this.cache.delete(tenant);
    };
    reading.then((keys) => {
      if (keys === null) forget();
    }, forget);
    return reading;
  }

  async put(tenants: readonly TenantSecrets[]): Promise<PromiseSettledResult<void>[]> {
    const results = await this.puts.submitAll(tenants);
    for (const { tenant } of tenants) this.cache.delete(tenant);
    return results;
  }

  private async read(tenant: string): Promise<readonly SigningKeys[] | null> {
    const { rows } = await this.pool.query<{ secrets: Buffer }>({
      name: 'tenants_secrets',
      text: 'SELECT secrets FROM dispatcher.tenants WHERE tenant = $1',
      values: [tenant],
    });
    const [row] = rows;
    if (row === undefined) return null;
    const json = this.codec.decode(row.secrets, { tenant, medium: 'table' });
    return secretsSchema.parse(JSON.parse(json.toString('utf8'))).map(signingKeysOf);
  }

  private columns(items: readonly TenantSecrets[]): unknown[][] {
    const encode = ({ tenant, secrets }: TenantSecrets) =>
      this.codec.encode(Buffer.from(JSON.stringify(secrets)), { tenant, medium: 'table' });
    return [
      items.map(({ tenant }) => tenant),
      items.map(encode),
      items.map(({ changedAt }) => changedAt),
    ];
  }
}

/** A late redelivery of an older state changes nothing. */
const putSql = `
  INSERT INTO dispatcher.tenants AS known (tenant, secrets, changed_at)
  SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[])
  ON CONFLICT (tenant) DO UPDATE SET
    secrets = excluded.secrets, changed_at = excluded.changed_at
  WHERE known.changed_at <= excluded.changed_at`;
