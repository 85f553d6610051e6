import type { PayloadCodec } from '@millrace/contracts';

import type { NewJob } from '../core/new-job.ts';

/** One array per column of `insertedJobsSql`, in its order. */
export type JobColumns = readonly (readonly unknown[])[];

const columns = [
  ['tenant', 'text'],
  ['id', 'text'],
  ['type', 'text'],
  ['status', 'text'],
  ['lane', 'text'],
  ['source', 'text'],
  ['session_id', 'text'],
  ['model', 'text'],
  ['idempotency_key', 'text'],
  ['request_hash', 'bytea'],
  ['refused', 'boolean'],
  ['first_event', 'bytea'],
  ['traceparent', 'text'],
  ['metadata', 'bytea'],
  ['created_at', 'timestamptz'],
  ['finished_at', 'timestamptz'],
  ['outcome', 'bytea'],
  ['run_at', 'timestamptz'],
  ['complete_by', 'timestamptz'],
  ['redrive_of', 'text'],
  ['fork_of', 'text'],
] as const;

/** How many parameters `jobColumns` fills. */
export const jobColumnCount = columns.length;

/** Names of the columns, for an INSERT and for its SELECT. */
export const jobColumnNames = columns.map(([name]) => name).join(', ');

const inputColumnNames = columns.map(([name]) => `input.${name}`).join(', ');

/** The parameters as a list for `unnest(…)`. */
export const jobColumnParameters = columns
  .map(([, type], index) => `$${index + 1}::${type}[]`)
  .join(', ');

/**
 * The parts of a statement that take a job in, from a part `input` with the columns: the narrow row
 * of keys decides, over all days, which jobs are new. The outer statement reads `keyed`, of which
 * the planner knows how many rows it may have.
 */
export const insertedJobs = `
keyed AS (
  INSERT INTO ingest.job_keys (tenant, id, idempotency_key, day)
  SELECT tenant, id, idempotency_key, (created_at AT TIME ZONE 'UTC')::date FROM input
  ON CONFLICT DO NOTHING
  RETURNING tenant, id, idempotency_key, day
), inserted AS (
  INSERT INTO ingest.jobs (day, ${jobColumnNames})
  SELECT keyed.day, ${inputColumnNames}
  FROM keyed JOIN input USING (tenant, id)
  WHERE keyed.idempotency_key IS NOT DISTINCT FROM input.idempotency_key
)`;

/** The rows as parameters: one array per column, bodies encoded for the table. */
export function jobColumns(jobs: readonly NewJob[], codec: PayloadCodec): unknown[][] {
  const body = (job: NewJob, json: string | null): Buffer | null =>
    json === null
      ? null
      : codec.encode(Buffer.from(json), { tenant: job.tenant, medium: 'table' });
  return [
    jobs.map(({ tenant }) => tenant),
    jobs.map(({ id }) => id),
    jobs.map(({ type }) => type),
    jobs.map(({ status }) => status),
    jobs.map(({ lane }) => lane),
    jobs.map(({ source }) => source),
    jobs.map(({ sessionId }) => sessionId),
    jobs.map(({ model }) => model),
    jobs.map(({ idempotencyKey }) => idempotencyKey),
    jobs.map(({ requestHash }) => requestHash),
    jobs.map(({ refused }) => refused),
    jobs.map((job) => body(job, job.firstEventJson)),
    jobs.map(({ traceparent }) => traceparent),
    jobs.map((job) => body(job, job.metadataJson)),
    jobs.map(({ createdAt }) => createdAt.toISOString()),
    jobs.map(({ finishedAt }) => finishedAt?.toISOString() ?? null),
    jobs.map((job) => body(job, job.outcomeJson)),
    jobs.map(({ runAt }) => runAt?.toISOString() ?? null),
    jobs.map(({ completeBy }) => completeBy?.toISOString() ?? null),
    jobs.map(({ redriveOf }) => redriveOf ?? null),
    jobs.map(({ forkOf }) => forkOf ?? null),
  ];
}
