import type { TenantDatabase } from '@millrace/postgres';

const text = 'SELECT last_seq FROM ingest.sessions WHERE tenant = $1 AND id = $2';

/** @returns how many turns the session has had; null when it has had none */
export async function countTurns(
  own: TenantDatabase,
  tenant: string,
  id: string,
): Promise<number | null> {
  const query = { name: 'session_turns_count', text, values: [tenant, id] };
  const { rows } = await own.query<{ last_seq: number }>(tenant, query);
  return rows[0]?.last_seq ?? null;
}
