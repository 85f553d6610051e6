import type { Pool } from '@millrace/postgres';

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
  readonly traceparent: string;
  readonly metadata: Buffer | null;
  readonly outcome: Buffer | null;
  readonly answer: Buffer | null;
}

const text = `
SELECT id, type, status, lane, session_id, model, created_at, finished_at, traceparent, metadata,
  outcome, answer
FROM ingest.jobs WHERE tenant = $1 AND id = $2`;

export async function findJob(pool: Pool, tenant: string, id: string): Promise<JobRow | null> {
  const { rows } = await pool.query<JobRow>({ name: 'find_job', text, values: [tenant, id] });
  return rows[0] ?? null;
}
