import { daysAround } from '@millrace/contracts';
import type { PoolClient } from '@millrace/postgres';

import type { StatusChange } from '../ports.ts';

const text = `
WITH locked AS (
  SELECT tenant, id, day, input.status, input.version
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::date[])
    AS input(tenant, id, status, version, day)
    JOIN ingest.jobs USING (tenant, id, day)
  WHERE day BETWEEN $6::date AND $7::date
  ORDER BY tenant, id
  FOR NO KEY UPDATE OF jobs
)
UPDATE ingest.jobs SET status = locked.status, status_version = locked.version
FROM locked
WHERE jobs.tenant = locked.tenant AND jobs.id = locked.id AND jobs.day = locked.day
  AND jobs.day BETWEEN $6::date AND $7::date AND jobs.status_version < locked.version
  AND jobs.status NOT IN ('succeeded', 'failed', 'cancelled', 'expired')`;

/** Shows what workflows wait for. What was told of an earlier version changes nothing. */
export async function changeStatuses(
  client: PoolClient,
  changes: readonly StatusChange[],
): Promise<void> {
  const days = changes.map(({ day }) => day);
  // Not a named statement: a plan made while the table was small would scan it when it is large.
  await client.query(text, [
    changes.map(({ tenant }) => tenant),
    changes.map(({ id }) => id),
    changes.map(({ status }) => status),
    changes.map(({ version }) => version),
    days,
    ...daysAround(days),
  ]);
}
