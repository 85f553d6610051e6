import { daysAround } from '@millrace/contracts';
import { arrayQuery, type PoolClient, sameDay } from '@millrace/postgres';

import type { StatusChange } from '../ports.ts';

/** Rows come sorted by key, and are changed in that order: see `endJobs`. */
export const changeStatusesSql = `
UPDATE ingest.jobs SET status = input.status, status_version = input.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::date[])
  AS input (tenant, id, status, version, day)
WHERE jobs.tenant = input.tenant AND jobs.id = input.id AND ${sameDay('jobs', 'input.day')}
  AND jobs.day BETWEEN $6::date AND $7::date AND jobs.status_version < input.version
  AND jobs.status NOT IN ('succeeded', 'failed', 'cancelled', 'expired')`;

/** Shows what workflows wait for. What was told of an earlier version changes nothing. */
export async function changeStatuses(
  client: PoolClient,
  changes: readonly StatusChange[],
): Promise<void> {
  const days = changes.map(({ day }) => day);
  const values = [
    changes.map(({ tenant }) => tenant),
    changes.map(({ id }) => id),
    changes.map(({ status }) => status),
    changes.map(({ version }) => version),
    days,
    ...daysAround(days),
  ];
  await client.query(arrayQuery({ name: 'change_statuses', text: changeStatusesSql, values }));
}
