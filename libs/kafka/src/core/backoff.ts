/** Waits between attempts of a step while Postgres or Kafka is away. */
export const backoffMsMin = 100;
/** Longer waits would be felt after the outage; shorter ones would load what just came back. */
export const backoffMsMax = 5_000;

/**
 * Exponential, with jitter over the upper half, so that partitions and replicas that failed
 * together do not come back together.
 *
 * @param attempt failed attempts so far, from 1.
 * @param random from 0 up to 1.
 */
export function backoffMs(attempt: number, random: number): number {
  const exponent = Math.min(Math.max(attempt, 1) - 1, 16);
  const ceiling = Math.min(backoffMsMin * 2 ** exponent, backoffMsMax);
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
