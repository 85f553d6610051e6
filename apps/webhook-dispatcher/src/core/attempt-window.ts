/** What a breaker looks back on. */
export const windowMs = 300_000;
/** A tenth of it: the window moves on in steps of half a minute. */
const bucketMs = 30_000;

interface Bucket {
  /** Number of the half minute, counted from the epoch. */
  readonly number: number;
  readonly attempts: number;
  readonly failures: number;
}

/** Attempts and failures of the last five minutes, oldest first; at most eleven buckets. */
export type AttemptWindow = readonly Bucket[];

export const emptyWindow: AttemptWindow = [];

export function withAttempt(
  window: AttemptWindow,
  attempt: { readonly failed: boolean; readonly nowMs: number },
): AttemptWindow {
  const number = Math.floor(attempt.nowMs / bucketMs);
  const kept = window.filter((bucket) => isWithin(bucket, attempt.nowMs));
  const last = kept.at(-1);
  const failures = attempt.failed ? 1 : 0;
  if (last === undefined || last.number < number) {
    return [...kept, { number, attempts: 1, failures }];
  }
  // A clock that was set back counts into the newest bucket.
  return [
    ...kept.slice(0, -1),
    { ...last, attempts: last.attempts + 1, failures: last.failures + failures },
  ];
}

export function countWindow(
  window: AttemptWindow,
  nowMs: number,
): { readonly attempts: number; readonly failures: number } {
  const kept = window.filter((bucket) => isWithin(bucket, nowMs));
  return {
    attempts: kept.reduce((sum, { attempts }) => sum + attempts, 0),
    failures: kept.reduce((sum, { failures }) => sum + failures, 0),
  };
}

/** A bucket leaves as a whole when its beginning is five minutes old. */
function isWithin({ number }: Bucket, nowMs: number): boolean {
  return number * bucketMs > nowMs - windowMs;
}
