/**
 * Tells lanes that something waits in them, part of every statement that makes a row wait. In the
 * order of their keys, so that two statements never wait for each other.
 * @param waiting a query of (tenant, origin, not_before).
 */
export function wakeLanesSql(waiting: string): string {
  return `INSERT INTO dispatcher.lanes AS l (tenant, origin, due_at, woken)
    SELECT tenant, origin, min(not_before), 1 FROM (${waiting}) AS w
    GROUP BY tenant, origin ORDER BY tenant, origin
    ON CONFLICT (tenant, origin) DO UPDATE SET
      due_at = least(l.due_at, excluded.due_at), woken = l.woken + 1, changed_at = now()`;
}
