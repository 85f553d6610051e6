/** Retries after the first attempt: 1, 2, 4, 8 and 16 s, then the job has failed. */
export const retriesMax = 5;
/** Share of a delay that jitter may add, so that calls that failed together do not return so. */
const jitterShareMax = 0.25;

/**
 * How long the retry after the n-th failure waits.
 *
 * @param failures failures so far, from 1
 * @param random from 0 to 1
 * @param baseMs the first delay: 1,000 in production
 */
export function backoffMs(failures: number, random: number, baseMs: number): number {
  const delayMs = baseMs * 2 ** (Math.min(failures, retriesMax) - 1);
  return Math.round(delayMs * (1 + jitterShareMax * random));
}
