import { describe, expect, it } from '@jest/globals';
import { idempotencyKeyLengthMax } from '@millrace/contracts';

import { batchKeysOf, idempotencyKeyOf } from './idempotency-key.ts';
import { ProblemError } from './problem.ts';

describe('the Idempotency-Key of a request', () => {
  it('is the header as it came, or none', () => {
    expect(idempotencyKeyOf('order-1')).toBe('order-1');
    expect(idempotencyKeyOf(undefined)).toBeNull();
  });

  it.each([['a space', 'a b'], ['nothing', ''], ['two headers', ['a', 'b']]])(
    'cannot be %s',
    (_, header) => expect(() => idempotencyKeyOf(header)).toThrow(ProblemError),
  );
});

describe('the keys of a batch', () => {
  it('say the place of each job', () => {
    const keyOf = batchKeysOf('night', 3);
    expect([0, 1, 2].map(keyOf)).toEqual(['night/0', 'night/1', 'night/2']);
  });

  it('are none when the request has none', () => {
    expect(batchKeysOf(undefined, 3)(1)).toBeNull();
  });

  it('are refused together when the longest does not fit', () => {
    const key = 'k'.repeat(idempotencyKeyLengthMax - 2);
    expect(batchKeysOf(key, 10)(9)).toHaveLength(idempotencyKeyLengthMax);
    expect(() => batchKeysOf(key, 11)).toThrow(ProblemError);
  });
});
