import { describe, expect, it } from '@jest/globals';

import { originOf } from './delivery.ts';

describe('originOf', () => {
  it.each([
    ['https://EXAMPLE.com:443/a?b', 'https://example.com'],
    ['http://127.0.0.1:8091/a', 'http://127.0.0.1:8091'],
    ['nonsense', 'unreadable'],
  ])('of %s is %s', (url, origin) => {
    expect(originOf(url)).toBe(origin);
  });
});
