import type { Pool } from 'pg';

import type { TenantDatabase } from './tenant-database.ts';

/** Rows deleted per statement by a purge: some 64 MiB, a fraction of a second. */
const purgeChunksMax = 64;

/**
 * Bodies too large to travel in an event, kept for a time under (tenant, id). The table belongs
 * to nobody: every service reaches it by the same three functions.
 */
export class Blobs {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Idempotent by id: the same id again keeps the first bytes and the later expiry. */
  async put(
    tenant: string,
    id: string,
    { bytes, ttlSeconds }: { bytes: Buffer; ttlSeconds: number },
  ): Promise<void> {
    await this.#pool.query({
      name: 'blobs_put',
      text: 'SELECT blobs.put($1::text, $2::text, $3::bytea, $4::int)',
      values: [tenant, id, bytes, ttlSeconds],
    });
  }

  /** Null when there is none, when it is another tenant's, and when it has expired. */
  async get(tenant: string, id: string): Promise<Buffer | null> {
    const { rows } = await this.#pool.query<{ bytes: Buffer | null }>({
      name: 'blobs_get',
      text: 'SELECT blobs.get($1::text, $2::text) AS bytes',
      values: [tenant, id],
    });
    return rows[0]?.bytes ?? null;
  }

  /** Deletes bodies at once. */
  async forget(tenant: string, ids: readonly string[]): Promise<void> {
    await this.#pool.query({
      name: 'blobs_forget',
      text: 'SELECT blobs.forget($1::text, $2::text[])',
      values: [tenant, ids],
    });
  }

  /** Moves the expiry of bodies. */
  async keep(tenant: string, ids: readonly string[], ttlSeconds: number): Promise<void> {
    await this.#pool.query({
      name: 'blobs_keep',
      text: 'SELECT blobs.keep($1::text, $2::text[], $3::int)',
      values: [tenant, ids, ttlSeconds],
    });
  }

  /** Deletes what has expired and says how many rows that were. */
  async purge(): Promise<number> {
    for (let deleted = 0; ; ) {
      const { rows } = await this.#pool.query<{ count: number }>({
        name: 'blobs_purge',
        text: 'SELECT blobs.purge($1::int) AS count',
        values: [purgeChunksMax],
      });
      const count = rows[0]?.count ?? 0;
      deleted += count;
      if (count < purgeChunksMax) return deleted;
    }
  }
}

/**
 * A body for whoever asks as the tenant: the function that is called takes the tenant from the
 * transaction and from nowhere else. Null when there is none, and when it has expired.
 */
export async function readOwnBlob(
  database: TenantDatabase,
  tenant: string,
  id: string,
): Promise<Buffer | null> {
  const { rows } = await database.query<{ bytes: Buffer | null }>(tenant, {
    name: 'blobs_get_own',
    text: 'SELECT blobs.get_own($1::text) AS bytes',
    values: [id],
  });
  return rows[0]?.bytes ?? null;
}
