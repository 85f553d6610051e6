import { daysAround } from '@millrace/contracts';
import { arrayQuery, type PoolClient, sameDay } from '@millrace/postgres';

import type { JobPlace } from '../ports.ts';

/** Rows come sorted by key, and are changed in that order: see `endJobs`. */
export const startJobsSql = `
UPDATE ingest.jobs SET status = 'running'
FROM unnest($1::text[], $2::text[], $3::date[]) AS input (tenant, id, day)
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
