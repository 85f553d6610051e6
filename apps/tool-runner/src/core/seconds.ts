/** As people are told them: what is left of a time is no whole number of milliseconds. */
export function secondsOf(ms: number): number {
  return Math.max(0.1, Math.round(ms / 100) / 10);
}
