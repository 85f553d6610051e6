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

/**
 * The keys of a batch's jobs, by index: `<key>/<index>`. Without a key they have none.
 * @throws ProblemError when the longest of them could not be kept: that is one answer for all.
 */
export function batchKeysOf(
  header: string | readonly string[] | undefined,
  count: number,
): (index: number) => string | null {
  const key = idempotencyKeyOf(header);
  if (key === null) return () => null;
  idempotencyKeyOf(`${key}/${count - 1}`);
  return (index) => `${key}/${index}`;
}
