import type { Pool } from 'pg';
import { z } from 'zod';

const rowSchema = z.object({
  id: z.string(),
  versions: z.array(z.int()),
  events: z.int(),
  version: z.int(),
  has_ended: z.boolean(),
  finishes: z.int(),
});

const runsSql = `
SELECT w.id, array_agg(j.version ORDER BY j.version) AS versions,
  count(DISTINCT j.event_id)::int AS events, w.version, w.ended_at IS NOT NULL AS has_ended,
  count(*) FILTER (WHERE convert_from(j.commands, 'UTF8') LIKE '%"kind":"finish"%')::int AS finishes
FROM orchestrator.workflows AS w JOIN orchestrator.journal AS j USING (tenant, id, day)
WHERE w.id LIKE $1
GROUP BY w.id, w.version, w.ended_at`;

const openSql = `
SELECT (SELECT count(*) FROM orchestrator.timers WHERE id LIKE $1)::int
  + (SELECT count(*) FROM orchestrator.parked_events WHERE id LIKE $1)::int
  + (SELECT count(*) FROM orchestrator.outbox)::int AS open`;

/** What of these runs is not as it has to be after their end: see I3 and I10. */
export async function faultsOfRuns(admin: Pool, pattern: string): Promise<string[]> {
  const { rows } = await admin.query(runsSql, [pattern]);
  return rows.flatMap((row) => {
    const run = rowSchema.parse(row);
    const faults = [];
    if (run.versions.some((version, i) => version !== i + 1)) faults.push('its history has a gap');
    if (run.versions.length !== run.version) faults.push('its row is not where its journal is');
    if (run.events !== run.versions.length) faults.push('an event has two versions');
    if (!run.has_ended) faults.push('it has not ended');
    if (run.finishes !== 1) faults.push(`it finished ${run.finishes} times`);
    return faults.map((fault) => `${run.id}: ${fault}`);
  });
}

/** Timers and messages that outlived their runs. */
export async function openRowsOfRuns(admin: Pool, pattern: string): Promise<number> {
  const { rows } = await admin.query<{ open: number }>(openSql, [pattern]);
  return rows[0]?.open ?? 0;
}
