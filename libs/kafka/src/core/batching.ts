export interface SliceLimits {
  readonly countMax: number;
  readonly bytesMax: number;
}

export interface GroupedLimits<T> extends SliceLimits {
  readonly groupOf: (item: T) => string;
  readonly bytesOf: (item: T) => number;
}

/**
 * Cuts a sequence into slices that keep its order and stay within the limits. An item that is
 * larger than a whole slice gets one of its own.
 */
export function slices<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  limits: SliceLimits,
): T[][] {
  const result: T[][] = [];
  let slice: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = bytesOf(item);
    const full = slice.length >= limits.countMax || bytes + size > limits.bytesMax;
    if (slice.length > 0 && full) {
      result.push(slice);
      slice = [];
      bytes = 0;
    }
    slice.push(item);
    bytes += size;
  }
  if (slice.length > 0) result.push(slice);
  return result;
}

/**
 * How many items from the front of a queue go into one request, when items of one group (a topic)
 * may have `bytesMax` together. At least one, and none is passed over: order is kept.
 */
export function countThatFits<T>(queue: readonly T[], limits: GroupedLimits<T>): number {
  const { groupOf, bytesOf } = limits;
  const bytesByGroup = new Map<string, number>();
  let count = 0;
  for (const item of queue) {
    if (count >= limits.countMax) break;
    const group = groupOf(item);
    const before = bytesByGroup.get(group) ?? 0;
    const bytes = before + bytesOf(item);
    if (count > 0 && before > 0 && bytes > limits.bytesMax) break;
    bytesByGroup.set(group, bytes);
    count += 1;
  }
  return count;
}
