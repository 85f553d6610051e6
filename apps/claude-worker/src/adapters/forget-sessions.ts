import type { Pool } from '@millrace/postgres';

/** Sessions of one statement: their turns are 8 MiB each at most, and mostly some kilobytes. */
const sessionsMax = 50;

/**
 * The row of a session stays, without a day: the numbers of its turns go on (S4 of the ledger). It
 * is locked, and looked at again when a turn has just ended: what that turn adds is not deleted.
 */
const text = `
WITH unused AS (
  SELECT s.tenant, s.session_id FROM worker.sessions s
  WHERE s.used_on < (now() AT TIME ZONE 'UTC')::date - $1::int AND s.day IS NULL
    AND NOT EXISTS (
      SELECT FROM worker.calls c
      WHERE c.tenant = s.tenant AND c.session_id = s.session_id
        AND c.state IN ('QUEUED', 'DISPATCHED'))
  ORDER BY s.used_on LIMIT $2::int
  FOR UPDATE SKIP LOCKED
), forgotten AS (
  DELETE FROM worker.session_turns t USING unused u
  WHERE t.tenant = u.tenant AND t.session_id = u.session_id
)
UPDATE worker.sessions s SET used_on = NULL FROM unused u
WHERE s.tenant = u.tenant AND s.session_id = u.session_id`;

/**
 * Deletes the turns of some sessions in which no turn has ended for more than so many days, and
 * none waits or runs. @returns how many sessions that were, and whether there may be more.
 */
export async function forgetSessions(
  pool: Pool,
  unusedDays: number,
): Promise<{ readonly sessions: number; readonly more: boolean }> {
  const { rowCount } = await pool.query(text, [unusedDays, sessionsMax]);
  const sessions = rowCount ?? 0;
  return { sessions, more: sessions === sessionsMax };
}
