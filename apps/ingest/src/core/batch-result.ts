import { errorCodes, type JobBatchResult, type JobView } from '@millrace/contracts';

import type { ProblemError } from './problem.ts';

/** The result of a job that is durable. */
export function acceptedResult(
  index: number,
  taken: { readonly view: JobView; readonly replayed: boolean },
): JobBatchResult {
  const { replayed, view: job } = taken;
  return { index, status: 202, job, ...(replayed ? { replayed } : {}) };
}

/** The result of a job that was refused, as `POST /v1/jobs` would have answered it. */
export function refusedResult(
  index: number,
  { code, detail, errors }: Pick<ProblemError, 'code' | 'detail' | 'errors'>,
): JobBatchResult {
  const more = errors.length === 0 ? {} : { errors: [...errors] };
  // A code that is never on HTTP would be a bug, and is told as one.
  return { index, status: errorCodes[code].status ?? 500, error: { code, detail, ...more } };
}
