import { jsonDepthMax, jsonValuesMax } from '@millrace/contracts';

/** Keys that reach an object's prototype when a later copy is careless. */
const forbiddenKeys = new Set(['__proto__']);

/**
 * What is wrong with a parsed JSON value beyond its schema, or null. It may be as deep and as
 * many as the limit of the body allows: the walk ends where it is too much, and keeps nothing.
 */
export function jsonBoundsError(value: unknown): string | null {
  return walk(value, 0, { values: 0 });
}

function walk(value: unknown, depth: number, seen: { values: number }): string | null {
  if (typeof value !== 'object' || value === null) return null;
  if (depth === jsonDepthMax) return `nested deeper than ${jsonDepthMax} levels`;
  const isList = Array.isArray(value);
  const members: readonly unknown[] = isList ? value : Object.values(value);
  seen.values += members.length;
  if (seen.values > jsonValuesMax) return `made of more than ${jsonValuesMax} values`;
  if (!isList) {
    const key = Object.keys(value).find((name) => forbiddenKeys.has(name));
    if (key !== undefined) return `refused for its key ${key}`;
  }
  for (const member of members) {
    const error = walk(member, depth + 1, seen);
    if (error !== null) return error;
  }
  return null;
}
