import type { JobStatus } from '@millrace/contracts';
import {
  boundedList,
  readBoundedList,
  type BoundedStatements,
  type TenantDatabase,
} from '@millrace/postgres';

import type { ListCursor, ListQuery } from '../core/list-cursor.ts';
import type { JobRow } from './find-job.ts';
import { byTime } from './jobs-by-time.ts';

/**
 * Jobs that one request looks at for those that it asks for: about 0.2 s. A tenant may have
 * millions, and none that is running.
 */
const lookedAtMax = 50_000;

type PlaceRow = Pick<JobRow, 'id' | 'created_at'>;

export interface FoundJobs {
  /** One more than a page says that there is a next one. */
  readonly rows: readonly JobRow[];
  /** Where the look ended before it had found as many; null when there are no others. */
  readonly lookedUntil: ListCursor | null;
}

/**
 * One page and one row more. Answers are left out: a page of them may be many megabytes.
 * @param query and how many jobs are looked at, at the most (`lookedAt`)
 */
export async function listJobs(
  own: TenantDatabase,
  tenant: string,
  { lookedAt = lookedAtMax, ...query }: ListQuery & { readonly lookedAt?: number },
): Promise<FoundJobs> {
  const list = listQueries(tenant, query, lookedAt);
  const { lookedUntil: until, rows } = await readBoundedList<JobRow, PlaceRow>(own, tenant, list);
  return { rows, lookedUntil: until && { createdAtMs: until.created_at.getTime(), id: until.id } };
}

/**
 * Statements with the conditions that were asked for and no others: their plans are made for any
 * values, and for a session that may not be asked for one would read all jobs of the tenant.
 */
export function listQueries(
  tenant: string,
  query: ListQuery,
  lookedAt = lookedAtMax,
): BoundedStatements {
  const values: unknown[] = [tenant];
  const given = (value: unknown): string => `$${values.push(value)}`;
  const { answered, conditions, from } = walkOf(query, given);
  const walk = `
SELECT place.id, type, place.status, lane, session_id, model, place.created_at, finished_at, run_at,
  complete_by, traceparent, metadata, outcome, NULL::bytea AS answer, redrive_of, fork_of
FROM ${from}
WHERE ${['place.tenant = $1', ...conditions, ...after(query.cursor, given)].join(' AND ')}
ORDER BY place.created_at DESC, place.id DESC`;
  const wanted = (['status', 'type', 'session_id'] as const).flatMap((name) =>
    query[name] === undefined || name === answered ? [] : [[name, query[name]] as const],
  );
  return boundedList({
    walk,
    values,
    wanted,
    orderBy: 'created_at DESC, id DESC',
    place: 'id, created_at',
    limit: query.limit + 1,
    lookedAt,
  });
}

interface Walk {
  /** What is walked along, as `place`, with what else there is of a job. */
  readonly from: string;
  readonly conditions: readonly string[];
  /** The filter that the walk answers. */
  readonly answered: 'status' | 'type' | 'session_id' | null;
}

/** Along the narrowest index that there is for what is asked. */
function walkOf({ session_id, status, type }: ListQuery, given: (value: unknown) => string): Walk {
  const from = 'ingest.jobs AS place';
  if (session_id !== undefined) {
    const conditions = [`place.session_id = ${given(session_id)}`];
    return { from, conditions, answered: 'session_id' };
  }
  if (status !== undefined && !isCommon[status]) {
    return {
      // By itself the planner, of days that it knows nothing of, would read all of the tenant's
      // jobs for each place, and choose among them afterwards.
      from: `ingest.jobs_by_status AS place CROSS JOIN LATERAL (
  SELECT * FROM ingest.jobs AS job
  WHERE job.tenant = place.tenant AND job.id = place.id AND job.day = place.day OFFSET 0) AS jobs`,
      conditions: [`place.status = ${given(status)}`],
      answered: 'status',
    };
  }
  if (type !== undefined && type !== 'message') {
    // As the index has it: no plan could know it of a parameter.
    const conditions = [`place.type = ${given(type)}`, `place.type <> 'message'`];
    return { from, conditions, answered: 'type' };
  }
  return { from, conditions: [`place.${byTime}`], answered: null };
}

/** Statuses that nearly all jobs have at some time: `ingest.jobs_by_status` has all others. */
const isCommon: Readonly<Record<JobStatus, boolean>> = {
  queued: true,
  running: true,
  succeeded: true,
  awaiting_approval: false,
  awaiting_budget: false,
  awaiting_signal: false,
  failed: false,
  cancelled: false,
  expired: false,
};

function after(cursor: ListCursor | undefined, given: (value: unknown) => string): string[] {
  if (cursor === undefined) return [];
  const createdAt = new Date(cursor.createdAtMs).toISOString();
  return [`(place.created_at, place.id) < (${given(createdAt)}, ${given(cursor.id)})`];
}
