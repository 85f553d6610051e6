const waitMsFirst = 50;
const waitMsMax = 1_000;

/**
 * How long to wait before the nth repetition (from 1) of a write that Postgres could not take.
 * Short, because a result stands behind it; `random` is in [0, 1).
 */
export function retryWaitMs(repetition: number, random: number): number {
  return Math.min(waitMsFirst * 2 ** (repetition - 1), waitMsMax) * (0.5 + random / 2);
}
