import type { PoolClient } from '@millrace/postgres';

import type { JobName } from '../ports.ts';

const text = `
WITH locked AS (
  SELECT tenant, id FROM unnest($1::text[], $2::text[]) AS input(tenant, id)
    JOIN ingest.jobs USING (tenant, id)
  WHERE jobs.status = 'queued'
  ORDER BY tenant, id
  FOR NO KEY UPDATE OF jobs
)
UPDATE ingest.jobs SET status = 'running'
FROM locked
WHERE jobs.tenant = locked.tenant AND jobs.id = locked.id AND jobs.status = 'queued'`;

/** Shows queued jobs as running; those that went further already stay as they are. */
export async function startJobs(client: PoolClient, started: readonly JobName[]): Promise<void> {
  // Not a named statement: a plan made while the table was small would scan it when it is large.
  await client.query(text, [
    started.map(({ tenant }) => tenant),
    started.map(({ id }) => id),
  ]);
}
