/** A receiver may make us wait this long; less would be no pause, more would lose the message. */
export const retryAfterMsMin = 1_000;
export const retryAfterMsMax = 3_600_000;

/**
 * Reads `Retry-After`: whole seconds, or an HTTP date.
 * @returns null when it is absent or says nothing that can be read.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  const text = value.trim();
  const askedMs = /^\d{1,15}$/.test(text) ? Number(text) * 1_000 : httpDateMs(text) - nowMs;
  if (Number.isNaN(askedMs)) return null;
  return Math.min(Math.max(askedMs, retryAfterMsMin), retryAfterMsMax);
}

/** Only dates with a month's name: `Date.parse` alone would read `5` and `1.5` as dates too. */
function httpDateMs(text: string): number {
  return /[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN;
}
