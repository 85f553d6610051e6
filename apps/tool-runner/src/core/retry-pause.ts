/** A tool's retries are within the run of an agent: none waits for longer. */
const pauseMsMax = 60_000;

/**
 * The pause before the next attempt: it doubles, spread over ±20 %.
 * @param attemptsMade the failed one included.
 * @param random from [0, 1)
 */
export function retryPauseMs(baseMs: number, attemptsMade: number, random: number): number {
  const pauseMs = Math.min(baseMs * 2 ** (attemptsMade - 1), pauseMsMax);
  return pauseMs * (0.8 + 0.4 * random);
}
