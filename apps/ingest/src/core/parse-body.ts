import { parseRequest } from '@millrace/contracts';

import { jsonBoundsError } from './json-bounds.ts';
import { jsonTextBoundsError } from './json-text-bounds.ts';
import { ProblemError } from './problem.ts';

/** Decodes strictly: a byte that is not UTF-8 must not become a question mark in a prompt. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Whatever a shorter text holds, parsing it takes a few milliseconds. */
const longTextBytes = 64 * 1024;

/**
 * The JSON of a request's body.
 * @throws ProblemError
 */
export function parseJsonBody(bytes: Buffer): unknown {
  const isLong = bytes.length > longTextBytes;
  const textBounds = isLong ? jsonTextBoundsError(bytes) : null;
  const parsed = textBounds === null ? readJson(bytes) : null;
  const bounds = textBounds ?? jsonBoundsError(parsed);
  if (bounds === null) return parsed;
  throw new ProblemError('invalid_request', `the body is ${bounds}`);
}

/** Of a body, query or header: one rule for every service. */
export { parseRequest as parseInput };

function readJson(bytes: Buffer): unknown {
  try {
    const parsed: unknown = JSON.parse(utf8.decode(bytes));
    return parsed;
  } catch {
    throw new ProblemError('malformed_json', 'the body is not JSON in UTF-8');
  }
}
