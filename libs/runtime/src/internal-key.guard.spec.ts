import { describe, expect, it } from '@jest/globals';

import { InternalKey } from './internal-key.guard.ts';

const key = Buffer.alloc(32, 5).toString('base64url');

describe('the internal key', () => {
  it.each([
    [key, true],
    [`${key}A`, false],
    [key.toLowerCase(), false],
    ['', false],
  ])('%s opens: %p', (shown, opens) => {
    expect(new InternalKey(key).opensTo(shown)).toBe(opens);
  });

  it('opens nothing where there is none', () => {
    expect(new InternalKey(undefined).opensTo('')).toBe(false);
    expect(new InternalKey(undefined).opensTo(key)).toBe(false);
  });
});
