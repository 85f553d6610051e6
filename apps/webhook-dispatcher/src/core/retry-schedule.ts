const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

/** Entries of a schedule: enough for days, few enough to be read at a glance. */
export const scheduleEntriesMax = 12;
/** Milliseconds that a schedule may span: the idempotency window of receivers is rarely longer. */
export const scheduleMsMax = 7 * 24 * hourMs;

/** Milliseconds before each attempt, the first included: about three days in all. */
export const retryScheduleMsDefault: readonly number[] = [
  0,
  5 * secondMs,
  5 * minuteMs,
  30 * minuteMs,
  2 * hourMs,
  5 * hourMs,
  10 * hourMs,
  14 * hourMs,
  20 * hourMs,
  24 * hourMs,
];

/**
 * The wait before the next attempt, spread over ±20 % so that the deliveries of an outage do not
 * come back together.
 * @param random from [0, 1)
 * @returns null when the schedule is used up.
 */
export function retryDelayMs(
  scheduleMs: readonly number[],
  attemptsMade: number,
  random: number,
): number | null {
  const delayMs = scheduleMs[attemptsMade];
  return delayMs === undefined ? null : delayMs * (0.8 + 0.4 * random);
}
