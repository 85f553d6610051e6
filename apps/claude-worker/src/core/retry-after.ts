/** No `retry-after` is taken for longer: a call's own age limit is the same. */
export const retryAfterMsMax = 24 * 3_600_000;

/**
 * How long a `retry-after` header asks to wait: seconds, or a date. At most `retryAfterMsMax`.
 *
 * @returns null when it is absent or says nothing
 */
export function retryAfterMsOf(header: string | null, nowMs: number): number | null {
  if (header === null || header.trim() === '') return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds >= 0 ? bounded(seconds * 1_000) : null;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? null : bounded(atMs - nowMs);
}

function bounded(waitMs: number): number {
  return Math.min(Math.max(0, Math.ceil(waitMs)), retryAfterMsMax);
}
