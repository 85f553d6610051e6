import {
  errorCodes,
  type JobBatchResult,
  type JobView,
  type RedriveBatchResult,
} from '@millrace/contracts';

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
export function refusedResult(index: number, refusal: Refusal): JobBatchResult {
  return { index, ...refused(refusal) };
}

/** The result of a letter that was refused, as its own redrive would have answered it. */
export function refusedRedrive(id: string, refusal: Refusal): RedriveBatchResult {
  return { id, ...refused(refusal) };
}

type Refusal = Pick<ProblemError, 'code' | 'detail' | 'errors'>;

function refused({ code, detail, errors }: Refusal) {
  const more = errors.length === 0 ? {} : { errors: [...errors] };
  // A code that is never on HTTP would be a bug, and is told as one.
  return { status: errorCodes[code].status ?? 500, error: { code, detail, ...more } };
}
