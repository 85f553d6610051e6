import type { PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type PoolClient } from '@millrace/postgres';

import type { NewJob } from '../core/new-job.ts';
import {
  insertedJobs,
  jobColumnCount,
  jobColumnNames,
  jobColumnParameters,
  jobColumns,
} from './job-columns.ts';
import { numberedTurns } from './numbered-turns.ts';

/** A job to be inserted, and its place among those that arrived in this process. */
export interface ArrivedJob {
  readonly job: NewJob;
  /** Grows with every arrival: turns of one session are numbered in this order. */
  readonly arrival: number;
}

/** A row that was really inserted. */
export interface InsertedRow {
  readonly tenant: string;
  readonly id: string;
  readonly idempotency_key: string | null;
  readonly seq: number | null;
}

/**
 * Rows are inserted in the order given (by key), then the sessions in theirs: two batches that
 * meet on the same rows wait for each other and never in a circle. Only rows that were really
 * inserted count in their session, so its numbers have no gap; only messages do, as each turn waits
 * for the one before it at the runner of messages.
 */
const withTurns = `
WITH input AS (
  SELECT * FROM unnest(${jobColumnParameters}, $${jobColumnCount + 1}::float8[])
    AS input(${jobColumnNames}, arrival)
), ${insertedJobs}, turns AS (
  SELECT tenant, id, session_id, day,
    row_number() OVER (PARTITION BY tenant, session_id ORDER BY input.arrival)::int AS turn
  FROM keyed JOIN input USING (tenant, id)
  WHERE keyed.idempotency_key IS NOT DISTINCT FROM input.idempotency_key
    AND input.session_id IS NOT NULL AND input.type = 'message'
), ${numberedTurns}
SELECT keyed.tenant, keyed.id, keyed.idempotency_key, numbered.seq
FROM keyed LEFT JOIN numbered
  ON numbered.tenant = keyed.tenant AND numbered.job_id = keyed.id`;

/** The same for a batch in which no row belongs to a session. */
const withoutTurns = `
WITH input AS (
  SELECT * FROM unnest(${jobColumnParameters}) AS input(${jobColumnNames})
), ${insertedJobs}
SELECT tenant, id, idempotency_key, NULL::int AS seq FROM keyed`;

/** Inserts what is not there yet, and gives each session's rows their place. */
export async function insertJobs(
  client: PoolClient,
  arrived: readonly ArrivedJob[],
  codec: PayloadCodec,
): Promise<InsertedRow[]> {
  const jobs = arrived.map(({ job }) => job);
  const columns = jobColumns(jobs, codec);
  const query = jobs.every(({ sessionId }) => sessionId === null)
    ? arrayQuery({ name: 'insert_jobs', text: withoutTurns, values: columns })
    : arrayQuery({
        name: 'insert_turns',
        text: withTurns,
        values: [...columns, arrived.map(({ arrival }) => arrival)],
      });
  const { rows } = await client.query<InsertedRow>(query);
  return rows;
}
