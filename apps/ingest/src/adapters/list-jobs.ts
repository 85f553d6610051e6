import type { TenantDatabase } from '@millrace/postgres';

import type { ListQuery } from '../core/list-cursor.ts';
import type { JobRow } from './find-job.ts';

/** Answers are left out: a page of them may be many megabytes. */
const text = `
SELECT id, type, status, lane, session_id, model, created_at, finished_at, run_at, complete_by,
  traceparent, metadata, outcome, NULL::bytea AS answer, redrive_of, fork_of
FROM ingest.jobs
WHERE tenant = $1
  AND ($2::text IS NULL OR status = $2)
  AND ($3::text IS NULL OR type = $3)
  AND ($4::text IS NULL OR session_id = $4)
  AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6))
ORDER BY created_at DESC, id DESC
LIMIT $7`;

/** One page and one row more, which says that there is a next page. */
export async function listJobs(
  own: TenantDatabase,
  tenant: string,
  query: ListQuery,
): Promise<JobRow[]> {
  const { cursor } = query;
  const values = [
    tenant,
    query.status ?? null,
    query.type ?? null,
    query.session_id ?? null,
    cursor === undefined ? null : new Date(cursor.createdAtMs).toISOString(),
    cursor?.id ?? null,
    query.limit + 1,
  ];
  const { rows } = await own.query<JobRow>(tenant, { text, values });
  return rows;
}
