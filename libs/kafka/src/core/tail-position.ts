/** What a partition held at some moment. */
export interface HeldRange {
  readonly partition: number;
  readonly first: string;
  readonly end: string;
}

/**
 * Whether a reader has had all that the partitions held.
 *
 * @param positions of the next record that it reads, by partition
 */
export function hasReached(
  positions: ReadonlyMap<number, string>,
  ranges: readonly HeldRange[],
): boolean {
  return ranges.every(({ partition, first, end }) => {
    // Nothing is held, or all has expired: a reader would not come to its end either.
    if (BigInt(first) >= BigInt(end)) return true;
    const position = positions.get(partition);
    return position !== undefined && BigInt(position) >= BigInt(end);
  });
}
