import { types } from 'node:util';

/** What was thrown, as an error: callbacks take nothing else. One of another realm is one, too. */
export function asError(thrown: unknown): Error {
  return types.isNativeError(thrown) ? thrown : new Error(String(thrown));
}
