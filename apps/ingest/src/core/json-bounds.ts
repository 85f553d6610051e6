import { jsonDepthMax } from '@millrace/contracts';

/** Keys that reach an object's prototype when a later copy is careless. */
const forbiddenKeys = new Set(['__proto__']);

/**
 * What is wrong with a parsed JSON value beyond its schema, or null. Walks with a list of its own
 * instead of recursion: the value may be as deep as the limit of the body allows.
 */
export function jsonBoundsError(value: unknown): string | null {
  const open: { value: unknown; depth: number }[] = [{ value, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue;
    const depth = next.depth + 1;
    if (depth > jsonDepthMax) return `nested deeper than ${jsonDepthMax} levels`;
    for (const [key, member] of Object.entries(next.value)) {
      if (forbiddenKeys.has(key)) return `refused for its key ${key}`;
      if (typeof member === 'object' && member !== null) open.push({ value: member, depth });
    }
  }
  return null;
}
