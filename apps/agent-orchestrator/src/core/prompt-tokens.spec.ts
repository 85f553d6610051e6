import { describe, expect, it } from '@jest/globals';

import { promptTokensAtMost } from './prompt-tokens.ts';

const data = 'A'.repeat(1_000_000);

describe('the most tokens of a part of a prompt', () => {
  it.each<[string, unknown, number, number]>([
    ['text', 'some words, and some more', 13, 20],
    ['text of another script', '漢字'.repeat(100), 200, 400],
    ['an image', { type: 'base64', media_type: 'image/png', data }, 5_000, 5_000],
    ['a file', { type: 'base64', media_type: 'application/pdf', data }, 250_000, 250_000],
    ['an address', { type: 'image', source: { type: 'url', url: 'x' } }, 50_000, 51_000],
    ['nothing', [], 1, 10],
    ['anything else', { n: 1, b: true, x: null }, 10, 100],
  ])('that is %s', (_what, part, least, most) => {
    expect(promptTokensAtMost(part)).toBeGreaterThanOrEqual(least);
    expect(promptTokensAtMost(part)).toBeLessThanOrEqual(most);
  });

  it('of a whole are those of its parts', () => {
    const message = { role: 'user', content: [{ type: 'text', text: 'x'.repeat(1_000) }] };
    expect(promptTokensAtMost([message, message])).toBeGreaterThan(1_000);
  });
});
