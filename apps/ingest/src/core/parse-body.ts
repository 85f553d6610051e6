import type { z } from 'zod';

import { fieldErrors } from './field-error.ts';
import { jsonBoundsError } from './json-bounds.ts';
import { ProblemError } from './problem.ts';

/** Decodes strictly: a byte that is not UTF-8 must not become a question mark in a prompt. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The JSON of a request's body.
 * @throws ProblemError
 */
export function parseJsonBody(bytes: Buffer): unknown {
  const parsed = readJson(bytes);
  const bounds = jsonBoundsError(parsed);
  if (bounds === null) return parsed;
  throw new ProblemError('invalid_request', `the body is ${bounds}`);
}

/**
 * A body, query or header that has to follow a schema of the contract.
 * @throws ProblemError that lists what does not.
 */
export function parseInput<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const detail = 'a field is missing, unknown or of the wrong type';
  throw new ProblemError('invalid_request', detail, fieldErrors(parsed.error));
}

function readJson(bytes: Buffer): unknown {
  try {
    const parsed: unknown = JSON.parse(utf8.decode(bytes));
    return parsed;
  } catch {
    throw new ProblemError('malformed_json', 'the body is not JSON in UTF-8');
  }
}
