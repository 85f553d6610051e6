import { daysAround, type PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type PoolClient } from '@millrace/postgres';

import type { EndResult, JobEnd } from '../ports.ts';

interface LockedRow {
  readonly tenant: string;
  readonly id: string;
  readonly ended: boolean;
}

/**
 * Rows are locked in key order before they change, so that two replicas never deadlock. A row that
 * is locked and has not ended is ended by this statement.
 */
const text = `
WITH input AS (
  SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::bytea[], $7::date[]
  ) AS input(tenant, id, status, finished_at, outcome, answer, day)
), locked AS (
  SELECT input.*, jobs.status NOT IN ('succeeded', 'failed', 'cancelled', 'expired') AS open
  FROM input JOIN ingest.jobs
    ON jobs.tenant = input.tenant AND jobs.id = input.id AND jobs.day = input.day
  WHERE jobs.day BETWEEN $8::date AND $9::date
  ORDER BY input.tenant, input.id
  FOR NO KEY UPDATE OF jobs
), ended AS (
  UPDATE ingest.jobs SET
    status = locked.status, finished_at = locked.finished_at,
    outcome = locked.outcome, answer = locked.answer
  FROM locked
  WHERE jobs.tenant = locked.tenant AND jobs.id = locked.id AND jobs.day = locked.day
    AND jobs.day BETWEEN $8::date AND $9::date AND locked.open
)
SELECT tenant, id, open AS ended FROM locked`;

/** Ends the jobs that have not ended yet. One result per end, in the order given. */
export async function finishJobs(
  client: PoolClient,
  ends: readonly JobEnd[],
  codec: PayloadCodec,
): Promise<EndResult[]> {
  const body = (end: JobEnd, json: string | null): Buffer | null =>
    json === null
      ? null
      : codec.encode(Buffer.from(json), { tenant: end.tenant, medium: 'table' });
  const days = ends.map(({ day }) => day);
  const values = [
    ends.map(({ tenant }) => tenant),
    ends.map(({ id }) => id),
    ends.map(({ status }) => status),
    ends.map(({ finishedAt }) => finishedAt),
    ends.map((end) => body(end, end.outcomeJson)),
    ends.map((end) => body(end, end.answerJson)),
    days,
    ...daysAround(days),
  ];
  const { rows } = await client.query<LockedRow>(arrayQuery({ name: 'finish_jobs', text, values }));
  const ended = new Map(rows.map((row) => [`${row.tenant}/${row.id}`, row.ended]));
  return ends.map(({ tenant, id }) => {
    const found = ended.get(`${tenant}/${id}`);
    if (found === undefined) return 'unknown';
    return found ? 'ended' : 'late';
  });
}
