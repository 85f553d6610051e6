/**
 * The day that all rows of a job are kept under: the UTC day, as `YYYY-MM-DD`, on which it was
 * accepted. Every event of the job carries that time, so the day follows from the cause.
 * @param createdAt RFC 3339 in UTC, as events carry it.
 */
export function jobDayOf(createdAt: string): string {
  return createdAt.slice(0, 'YYYY-MM-DD'.length);
}

/** The first and the last of some days: a statement that is told them leaves the others alone. */
export function daysAround(days: readonly string[]): readonly [first: string, last: string] {
  let first = days[0] ?? '1970-01-01';
  let last = first;
  for (const day of days) {
    if (day < first) first = day;
    if (day > last) last = day;
  }
  return [first, last];
}
