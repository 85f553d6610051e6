import type { PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type PoolClient } from '@millrace/postgres';

import type { NewJob } from '../core/new-job.ts';
import type { InsertedRow } from './insert-jobs.ts';
import {
  insertedJobs,
  jobColumnNames,
  jobColumnParameters,
  jobColumns,
} from './job-columns.ts';

/** Nobody is told of these jobs, and a session's turn gets its number when it is released. */
const text = `
WITH input AS (
  SELECT * FROM unnest(${jobColumnParameters}) AS input(${jobColumnNames})
), ${insertedJobs}, waiting AS (
  INSERT INTO ingest.releases (tenant, id, day, run_at)
  SELECT tenant, id, keyed.day, input.run_at FROM keyed JOIN input USING (tenant, id)
  WHERE keyed.idempotency_key IS NOT DISTINCT FROM input.idempotency_key
)
SELECT tenant, id, idempotency_key, NULL::int AS seq FROM keyed`;

/** Inserts what is not there yet, to be released at its `runAt`, in one statement. */
export async function insertWaitingJobs(
  client: PoolClient,
  jobs: readonly NewJob[],
  codec: PayloadCodec,
): Promise<InsertedRow[]> {
  const query = arrayQuery({
    name: 'insert_waiting_jobs',
    text,
    values: jobColumns(jobs, codec),
  });
  const { rows } = await client.query<InsertedRow>(query);
  return rows;
}
