/**
 * The tree in which answers are joined: level 0 are the parts of the document, an item of the next
 * level joins up to `fanIn` neighbours, and the top level is the answer. It is known from the
 * number of parts alone, so a state holds only the answers that wait for their neighbours.
 */
export const fanIn = 16;

/** A place in the tree. */
export interface TreeItem {
  readonly level: number;
  readonly index: number;
}

/** How many items a level has. */
export function itemsOf(parts: number, level: number): number {
  return Math.ceil(parts / fanIn ** level);
}

/** The level with one item. */
export function topLevel(parts: number): number {
  for (let level = 0; ; level += 1) {
    if (itemsOf(parts, level) <= 1) return level;
  }
}

/** All items that are joined with this one into the item above it, itself among them. */
export function neighboursOf({ level, index }: TreeItem, parts: number): TreeItem[] {
  const first = Math.floor(index / fanIn) * fanIn;
  const count = Math.min(fanIn, itemsOf(parts, level) - first);
  return Array.from({ length: count }, (_, n) => ({ level, index: first + n }));
}

export function parentOf({ level, index }: TreeItem): TreeItem {
  return { level: level + 1, index: Math.floor(index / fanIn) };
}

export function keyOf({ level, index }: TreeItem): string {
  return `${level}.${index}`;
}
