import type { TenantDatabase } from '@millrace/postgres';

import type { ListQuery } from '../core/list-cursor.ts';
import type { JobRow } from './find-job.ts';
import { byTime } from './jobs-by-time.ts';

/**
 * One page and one row more, which says that there is a next page. Answers are left out: a page of
 * them may be many megabytes.
 */
export async function listJobs(
  own: TenantDatabase,
  tenant: string,
  query: ListQuery,
): Promise<JobRow[]> {
  const { rows } = await own.query<JobRow>(tenant, listQuery(tenant, query));
  return rows;
}

/**
 * A statement with the conditions that were asked for and no others: its plan is made for any
 * values, and for a session that may not be asked for it would read all jobs of the tenant.
 */
export function listQuery(tenant: string, { cursor, limit, session_id, status, type }: ListQuery) {
  const values: unknown[] = [tenant, limit + 1];
  const given = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [
    'tenant = $1',
    byTime,
    ...(status === undefined ? [] : [`status = ${given(status)}`]),
    ...(type === undefined ? [] : [`type = ${given(type)}`]),
    ...(session_id === undefined ? [] : [`session_id = ${given(session_id)}`]),
    ...(cursor === undefined
      ? []
      : [`(created_at, id) < (${given(timeOf(cursor.createdAtMs))}, ${given(cursor.id)})`]),
  ];
  const text = `
SELECT id, type, status, lane, session_id, model, created_at, finished_at, run_at, complete_by,
  traceparent, metadata, outcome, NULL::bytea AS answer, redrive_of, fork_of
FROM ingest.jobs
WHERE ${conditions.join(' AND ')}
ORDER BY created_at DESC, id DESC
LIMIT $2`;
  return { text, values };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
