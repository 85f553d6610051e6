import type { JobId } from '@millrace/contracts';

/** A job row that was there before this submission. */
export interface StandingJob {
  readonly id: JobId;
  readonly requestHash: Buffer;
}

export type Replay = 'same' | 'conflict';

/**
 * Whether a submission repeats the job that holds its id or its idempotency key. A key that was
 * used with one `job_id` and now comes with another is a conflict, as another body is.
 */
export function decideReplay(
  standing: StandingJob,
  given: { readonly jobId: JobId | undefined; readonly requestHash: Buffer },
): Replay {
  const sameId = given.jobId === undefined || given.jobId === standing.id;
  return sameId && standing.requestHash.equals(given.requestHash) ? 'same' : 'conflict';
}
