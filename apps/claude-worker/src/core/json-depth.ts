/**
 * Says whether a JSON value is nested deeper than so many levels: an array or object is one, what
 * is inside it the next. Reads no text, and goes no deeper than it has to.
 */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels <= 0) return true;
  return Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}
