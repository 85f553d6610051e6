/**
 * How long a released job may be silent before its request is published again. A request that is
 * waiting its turn is known to its runner and answers nothing, so this is far above what a lost
 * message takes to be noticed by anybody else, and far below what a caller gives up after.
 */
export const silentMsMax = 600_000;
/** Between two republications, at most: by then it is an outage or a very long queue. */
export const republishMsMax = 3_600_000;
/**
 * Times that one request is published again: about a week, for which Kafka keeps the request
 * itself. Then somebody has to look.
 */
export const republishTimesMax = 170;

/** How often jobs that have become old are looked for: they have been silent for far longer. */
const lookEveryMs = 60_000;

export interface SilenceTimes {
  readonly silentMs: number;
  readonly republishMsMax: number;
  readonly lookEveryMs: number;
}

export const silenceTimesDefault: SilenceTimes = {
  silentMs: silentMsMax,
  republishMsMax,
  lookEveryMs,
};

/** Until the next republication, after `times` of them: twice as long each time. */
export function republishInMs(
  times: number,
  given: Pick<SilenceTimes, 'silentMs' | 'republishMsMax'>,
): number {
  return Math.min(given.silentMs * 2 ** times, given.republishMsMax);
}
