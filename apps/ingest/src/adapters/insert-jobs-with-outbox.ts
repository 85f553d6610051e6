import type { OutgoingMessage, PayloadCodec } from '@millrace/contracts';
import { arrayQuery, outboxColumns, type PoolClient } from '@millrace/postgres';

import type { NewJob } from '../core/new-job.ts';
import type { InsertedRow } from './insert-jobs.ts';
import {
  insertedJobs,
  jobColumnCount,
  jobColumnNames,
  jobColumnParameters,
  jobColumns,
} from './job-columns.ts';

/** A job that belongs to no session, with the message that tells of it. */
export interface AnnouncedJob {
  readonly job: NewJob;
  readonly message: OutgoingMessage;
}

const messageParameters = ['text', 'text', 'text', 'jsonb', 'bytea']
  .map((type, index) => `$${jobColumnCount + 1 + index}::${type}[]`)
  .join(', ');

/**
 * The message goes to the outbox only beside a row that was really inserted: a repeated
 * submission, perhaps with another body, must not publish its own.
 */
const text = `
WITH input AS (
  SELECT * FROM unnest(${jobColumnParameters}, ${messageParameters})
    AS input(${jobColumnNames}, message_id, topic, key, headers, value)
), ${insertedJobs}, announced AS (
  INSERT INTO ingest.outbox (id, topic, key, headers, value)
  SELECT message_id, topic, key, headers, value FROM input JOIN keyed USING (tenant, id)
  WHERE keyed.idempotency_key IS NOT DISTINCT FROM input.idempotency_key
  ON CONFLICT (id) DO NOTHING
)
SELECT tenant, id, idempotency_key, NULL::int AS seq FROM keyed`;

/** Inserts what is not there yet, each row with its message, in one statement. */
export async function insertJobsWithOutbox(
  client: PoolClient,
  announced: readonly AnnouncedJob[],
  codec: PayloadCodec,
): Promise<InsertedRow[]> {
  const jobs = announced.map(({ job }) => job);
  const messages = announced.map(({ message }) => message);
  const values = [...jobColumns(jobs, codec), ...outboxColumns(messages)];
  const query = arrayQuery({ name: 'insert_jobs_with_outbox', text, values });
  const { rows } = await client.query<InsertedRow>(query);
  return rows;
}
