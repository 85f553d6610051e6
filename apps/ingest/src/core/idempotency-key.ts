import { idempotencyKeyLengthMax } from '@millrace/contracts';

import { ProblemError } from './problem.ts';

/**
 * The key of a request, or null when it has none.
 * @throws ProblemError for one that could not be kept as it is.
 */
export function idempotencyKeyOf(header: string | readonly string[] | undefined): string | null {
  if (header === undefined) return null;
  const isGood =
    typeof header === 'string' &&
    header.length <= idempotencyKeyLengthMax &&
    /^[\x21-\x7e]+$/.test(header);
  if (isGood) return header;
  const message = `must be 1 to ${idempotencyKeyLengthMax} printable characters without spaces`;
  const errors = [{ path: 'Idempotency-Key', message }];
  throw new ProblemError('invalid_request', 'the Idempotency-Key cannot be used', errors);
}
