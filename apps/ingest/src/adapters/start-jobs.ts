import { daysAround } from '@millrace/contracts';
import type { PoolClient } from '@millrace/postgres';

import type { JobPlace } from '../ports.ts';

const text = `
WITH locked AS (
  SELECT tenant, id, day
  FROM unnest($1::text[], $2::text[], $3::date[]) AS input(tenant, id, day)
    JOIN ingest.jobs USING (tenant, id, day)
  WHERE jobs.status = 'queued' AND day BETWEEN $4::date AND $5::date
  ORDER BY tenant, id
  FOR NO KEY UPDATE OF jobs
)
UPDATE ingest.jobs SET status = 'running'
FROM locked
WHERE jobs.tenant = locked.tenant AND jobs.id = locked.id AND jobs.day = locked.day
  AND jobs.day BETWEEN $4::date AND $5::date AND jobs.status = 'queued'`;

/** Shows queued jobs as running; those that went further already stay as they are. */
export async function startJobs(client: PoolClient, started: readonly JobPlace[]): Promise<void> {
  const days = started.map(({ day }) => day);
  // Not a named statement: a plan made while the table was small would scan it when it is large.
  await client.query(text, [
    started.map(({ tenant }) => tenant),
    started.map(({ id }) => id),
    days,
    ...daysAround(days),
  ]);
}
