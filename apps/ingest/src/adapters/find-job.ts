import type { TenantDatabase } from '@millrace/postgres';

/** A job's row without the event that it published. */
export interface JobRow {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly lane: string;
  readonly session_id: string | null;
  readonly model: string | null;
  readonly created_at: Date;
  readonly finished_at: Date | null;
  readonly run_at: Date | null;
  readonly complete_by: Date | null;
  readonly traceparent: string;
  readonly metadata: Buffer | null;
  readonly outcome: Buffer | null;
  readonly answer: Buffer | null;
  readonly redrive_of: string | null;
  readonly fork_of: string | null;
}

const text = `
SELECT jobs.id, type, status, lane, session_id, model, created_at, finished_at, run_at,
  complete_by, traceparent, metadata, outcome, answer, redrive_of, fork_of
FROM ingest.job_keys AS keys JOIN ingest.jobs USING (tenant, id, day)
WHERE keys.tenant = $1 AND keys.id = $2`;

/** The row of the tenant's job, or null. */

export async function findJob(
  own: TenantDatabase,
  tenant: string,
  id: string,
): Promise<JobRow | null> {
  const query = { name: 'find_job', text, values: [tenant, id] };
  const { rows } = await own.query<JobRow>(tenant, query);
  return rows[0] ?? null;
}
