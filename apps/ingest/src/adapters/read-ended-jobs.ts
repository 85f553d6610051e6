import { daysAround, type PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type PoolClient } from '@millrace/postgres';

import type { EndedJobRow } from '../ports.ts';

interface EndedRow {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly session_id: string | null;
  readonly refused: boolean;
  readonly unreleased: boolean;
  readonly first_event: Buffer;
  readonly traceparent: string;
  readonly outcome: Buffer | null;
  readonly answer: Buffer | null;
  readonly created_at: Date;
  readonly finished_at: Date;
}

/** The release of a job that waited is kept as an event: without it the job ended waiting. */
export const readEndedSql = `
SELECT jobs.id, type, status, session_id, refused, first_event, traceparent, outcome, answer,
  created_at, finished_at,
  coalesce(run_at > created_at, false) AND NOT EXISTS (
    SELECT FROM ingest.job_events AS kept
    WHERE kept.tenant = jobs.tenant AND kept.job_id = jobs.id AND kept.id = 'released'
      AND kept.day = jobs.day
  ) AS unreleased
FROM unnest($1::text[], $2::text[], $3::date[]) AS input(tenant, id, day)
  JOIN ingest.jobs ON jobs.tenant = input.tenant AND jobs.id = input.id AND jobs.day = input.day
WHERE jobs.day BETWEEN $4::date AND $5::date
ORDER BY created_at, jobs.id`;

/** Jobs of a tenant that have ended, whole, in the order of their acceptance. */
export async function readEndedJobs(
  client: PoolClient,
  o: {
    readonly tenant: string;
    readonly names: readonly { readonly id: string; readonly day: string }[];
    readonly codec: PayloadCodec;
  },
): Promise<EndedJobRow[]> {
  const { codec, names, tenant } = o;
  if (names.length === 0) return [];
  const days = names.map(({ day }) => day);
  // A tenant for each: with one for all, a plan may read all of its jobs of the day for each.
  const tenants = names.map(() => tenant);
  const values = [tenants, names.map(({ id }) => id), days, ...daysAround(days)];
  const query = arrayQuery({ name: 'read_ended_jobs', text: readEndedSql, values });
  const { rows } = await client.query<EndedRow>(query);
  const textOf = (body: Buffer) => codec.decode(body, { tenant, medium: 'table' }).toString('utf8');
  const orNull = (body: Buffer | null) => (body === null ? null : textOf(body));
  return rows.map((row) => ({
    tenant,
    id: row.id,
    type: row.type,
    status: row.status,
    sessionId: row.session_id,
    refused: row.refused,
    unreleased: row.unreleased,
    firstEventJson: textOf(row.first_event),
    outcomeJson: orNull(row.outcome),
    answerJson: orNull(row.answer),
    createdAt: row.created_at,
    finishedAt: row.finished_at,
    traceparent: row.traceparent,
  }));
}
