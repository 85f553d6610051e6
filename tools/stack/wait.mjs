/** Waiting for a condition, never for luck. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { StackError } from './stack-error.mjs';

/** How often a condition is looked at. Short: it bounds how much later than true it is seen. */
const lookEveryMs = 50;

/**
 * @template T
 * @param {string} what completes "… did not happen within n s"
 * @param {number} timeoutMs
 * @param {() => T | undefined | Promise<T | undefined>} look truthy ends the wait; a throw too
 * @returns {Promise<T>}
 */
export async function until(what, timeoutMs, look) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > deadline) {
      throw new StackError(`${what}: not within ${timeoutMs / 1000} s.`);
    }
    await delay(lookEveryMs);
  }
}

/**
 * @param {string} file
 * @param {number} start
 * @returns {string} what the file holds from a byte on
 */
export function readFrom(file, start) {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= start) return '';
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(size - start);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, start));
  } finally {
    closeSync(fd);
  }
}
