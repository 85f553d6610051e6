import { createHash } from 'node:crypto';

import { jobIdSchema, type JobId, type TenantId } from '@millrace/contracts';

/** Where a record lies: what a job without an id of its own is named after. */
export interface RecordPlace {
  readonly clusterId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

/** Hex digits of a derived id: 128 bits, so that no two records meet. */
const derivedDigits = 32;

/** The id of a job whose record names none: redelivered, it gets the same one. */
export function derivedJobId(place: RecordPlace): JobId {
  const cause = [place.clusterId, place.topic, place.partition, place.offset].join('\u0000');
  return jobIdSchema.parse(`job_${digest(cause).slice(0, derivedDigits)}`);
}

/** The id of the job that a letter's redrive makes: asked for twice, it is one job. */
export function redriveJobId(letterId: string, redrive: number): JobId {
  const cause = [letterId, String(redrive)].join('\u0000');
  return jobIdSchema.parse(`job_${digest(cause).slice(0, derivedDigits)}`);
}

/**
 * The blob that carries a job's large parameters. It derives from job and content: a request that
 * lost the race for a job id, and is then refused, must not have written the winner's blob.
 */
export function paramsBlobId(tenant: TenantId, job: JobId, params: string): string {
  return `blob_${tenant}.${digest(`${job}\u0000${params}`)}.params`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
