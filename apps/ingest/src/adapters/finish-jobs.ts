import { daysAround, type PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type PoolClient, sameDay } from '@millrace/postgres';

import type { EndResult, JobEnd } from '../ports.ts';

interface NameRow {
  readonly tenant: string;
  readonly id: string;
}

/**
 * Whoever changes a row first ends it: the second statement waits for its lock and then finds it
 * ended. Rows come sorted by key and are found by it one after the other, so that two replicas
 * rarely meet the wrong way round; if they do, Postgres refuses one of them, and the group commit
 * repeats it. To lock all rows before changing them cost a quarter of the statement's time.
 */
export const endJobs = `
UPDATE ingest.jobs SET
  status = input.status, finished_at = input.finished_at,
  outcome = input.outcome, answer = input.answer
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::bytea[], $7::date[]
) AS input(tenant, id, status, finished_at, outcome, answer, day)
WHERE jobs.tenant = input.tenant AND jobs.id = input.id AND ${sameDay('jobs', 'input.day')}
  AND jobs.day BETWEEN $8::date AND $9::date
  AND jobs.status NOT IN ('succeeded', 'failed', 'cancelled', 'expired')
RETURNING jobs.tenant, jobs.id`;

/** Of ends that changed no row: those whose job had ended before. The others know no job. */
export const findEnded = `
SELECT tenant, id FROM ingest.jobs
WHERE (tenant, id, day) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::date[]))
  AND day BETWEEN $4::date AND $5::date
  AND status IN ('succeeded', 'failed', 'cancelled', 'expired')`;

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
  const query = arrayQuery({ name: 'end_jobs', text: endJobs, values });
  const ended = namesOf((await client.query<NameRow>(query)).rows);
  const left = ends.filter((end) => !ended.has(nameOf(end)));
  const late = left.length === 0 ? ended : await endedBefore(client, left);
  return ends.map((end) => {
    if (ended.has(nameOf(end))) return 'ended';
    return late.has(nameOf(end)) ? 'late' : 'unknown';
  });
}

async function endedBefore(client: PoolClient, ends: readonly JobEnd[]): Promise<Set<string>> {
  const days = ends.map(({ day }) => day);
  const values = [
    ends.map(({ tenant }) => tenant),
    ends.map(({ id }) => id),
    days,
    ...daysAround(days),
  ];
  const query = arrayQuery({ name: 'find_ended_jobs', text: findEnded, values });
  return namesOf((await client.query<NameRow>(query)).rows);
}

function namesOf(rows: readonly NameRow[]): Set<string> {
  return new Set(rows.map(nameOf));
}

function nameOf({ tenant, id }: NameRow): string {
  return `${tenant}/${id}`;
}
