import { daysAround } from '@millrace/contracts';
import { arrayQuery, type PoolClient, sameDay } from '@millrace/postgres';

import type { JobPlace } from '../ports.ts';

/** In the order of their keys: whoever changes the same jobs waits, and is not waited for. */
export const startJobsSql = `
UPDATE ingest.jobs SET status = 'running'
FROM (
  SELECT * FROM unnest($1::text[], $2::text[], $3::date[]) AS i (tenant, id, day)
  ORDER BY tenant, id
) AS input
WHERE jobs.tenant = input.tenant AND jobs.id = input.id AND ${sameDay('jobs', 'input.day')}
  AND jobs.day BETWEEN $4::date AND $5::date AND jobs.status = 'queued'`;

/** Shows queued jobs as running; those that went further already stay as they are. */
export async function startJobs(client: PoolClient, started: readonly JobPlace[]): Promise<void> {
  const days = started.map(({ day }) => day);
  const values = [
    started.map(({ tenant }) => tenant),
    started.map(({ id }) => id),
    days,
    ...daysAround(days),
  ];
  await client.query(arrayQuery({ name: 'start_jobs', text: startJobsSql, values }));
}
