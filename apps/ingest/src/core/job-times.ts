import { completeAheadMsMax, runAheadMsMax, type JobSubmission } from '@millrace/contracts';

import type { FieldError } from './field-error.ts';
import type { Refusal } from './judge-submission.ts';

/** When a job may begin, and when it has to have ended. */
export interface JobTimes {
  readonly runAt: Date | undefined;
  readonly completeBy: Date | undefined;
}

export function timesOf(submission: Pick<JobSubmission, 'run_at' | 'complete_by'>): JobTimes {
  const { run_at: runAt, complete_by: completeBy } = submission;
  return {
    runAt: runAt === undefined ? undefined : new Date(runAt),
    completeBy: completeBy === undefined ? undefined : new Date(completeBy),
  };
}

/** Whether the times contradict each other, whenever they are looked at. */
export function disorderOf({ runAt, completeBy }: JobTimes): Refusal | null {
  if (runAt === undefined || completeBy === undefined || completeBy > runAt) return null;
  return refusal({ path: 'complete_by', message: 'must be later than run_at' });
}

/**
 * Whether a job with these times may be accepted at `now`. Of a submission that is repeated this
 * is not asked: what was accepted stays accepted.
 */
export function untimelinessOf({ runAt, completeBy }: JobTimes, now: Date): Refusal | null {
  const runInMs = (runAt?.getTime() ?? 0) - now.getTime();
  if (runInMs > runAheadMsMax) return refusal(tooFar('run_at', runAheadMsMax));
  if (completeBy === undefined) return null;
  const leftMs = completeBy.getTime() - now.getTime();
  if (leftMs <= 0) return refusal({ path: 'complete_by', message: 'has passed' });
  if (leftMs > completeAheadMsMax) return refusal(tooFar('complete_by', completeAheadMsMax));
  return null;
}

/** Whether a job that is accepted at `now` has to wait before it may run. */
export function mustWait({ runAt }: JobTimes, now: Date): boolean {
  return runAt !== undefined && runAt > now;
}

const dayMs = 86_400_000;

function tooFar(path: string, aheadMsMax: number): FieldError {
  return { path, message: `must lie within ${aheadMsMax / dayMs} days` };
}

function refusal(error: FieldError): Refusal {
  const detail = `${error.path} ${error.message}`;
  return { code: 'invalid_request', detail, errors: [error] };
}
