import type { Pool } from '@millrace/postgres';

const text = `
SELECT tenant FROM ingest.api_keys WHERE key_hash = $1 AND revoked_at IS NULL`;

/** The tenant whose key this is, or null. */
export async function findApiKey(pool: Pool, hash: Buffer): Promise<string | null> {
  const query = { name: 'find_api_key', text, values: [hash] };
  const { rows } = await pool.query<{ tenant: string }>(query);
  return rows[0]?.tenant ?? null;
}
