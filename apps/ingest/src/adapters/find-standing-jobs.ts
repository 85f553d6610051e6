import type { PoolClient } from '@millrace/postgres';

/** A row that an insert met, by its id or by its idempotency key. */
export interface StandingRow {
  readonly tenant: string;
  readonly id: string;
  readonly idempotency_key: string | null;
  readonly type: string;
  readonly status: string;
  readonly lane: string;
  readonly session_id: string | null;
  readonly model: string | null;
  readonly request_hash: Buffer;
  readonly refused: boolean;
  readonly first_event: Buffer;
  readonly traceparent: string;
  readonly created_at: Date;
  readonly run_at: Date | null;
  readonly complete_by: Date | null;
  readonly redrive_of: string | null;
  readonly fork_of: string | null;
  readonly seq: number | null;
  readonly waits: boolean;
}

/** The two ways to name a job. */
export interface JobNames {
  readonly tenant: string;
  readonly id: string;
  readonly idempotencyKey: string | null;
}

/** Columns of `ingest.jobs` that a standing row has. */
export const standingFields = `jobs.tenant, jobs.id, jobs.idempotency_key, type, status, lane,
  jobs.session_id, model, request_hash, refused, first_event, traceparent, created_at, jobs.run_at,
  complete_by, redrive_of, fork_of`;

const text = `
WITH input AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS input(tenant, id, idempotency_key)
), standing AS (
  SELECT ${standingFields}
  FROM input JOIN ingest.job_keys AS keys USING (tenant, id)
    JOIN ingest.jobs USING (tenant, id, day)
  UNION ALL
  SELECT ${standingFields}
  FROM input JOIN ingest.job_keys AS keys USING (tenant, idempotency_key)
    JOIN ingest.jobs ON (jobs.tenant, jobs.id, jobs.day) = (keys.tenant, keys.id, keys.day)
)
SELECT standing.*, turns.seq, waiting.id IS NOT NULL AS waits
FROM standing
  LEFT JOIN ingest.session_turns AS turns
    ON turns.tenant = standing.tenant AND turns.job_id = standing.id
  LEFT JOIN ingest.releases AS waiting
    ON waiting.tenant = standing.tenant AND waiting.id = standing.id`;

/** The statement for the rows that hold these ids or idempotency keys. */
export function standingJobsQuery(named: readonly JobNames[]) {
  const values = [
    named.map(({ tenant }) => tenant),
    named.map(({ id }) => id),
    named.map(({ idempotencyKey }) => idempotencyKey),
  ];
  return { name: 'standing_jobs', text, values };
}

/** The rows themselves, of many tenants. */
export async function findStandingJobs(
  client: Pick<PoolClient, 'query'>,
  named: readonly JobNames[],
): Promise<StandingRow[]> {
  const { rows } = await client.query<StandingRow>(standingJobsQuery(named));
  return rows;
}
