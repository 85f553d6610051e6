import { expect, it } from '@jest/globals';

import { apiKeyOf, keptApiKey, presentedKey } from './api-key.ts';

const key = `mr_${'a'.repeat(43)}`;

it.each<[string | undefined, string | undefined, string | null]>([
  [`Bearer ${key}`, undefined, key],
  [`bearer  ${key}`, undefined, key],
  [undefined, key, key],
  [`Bearer ${key}`, 'mr_other-key-other-key', key],
  [`Basic ${key}`, undefined, null],
  [`Bearer ${key} x`, undefined, null],
  ['Bearer sk_nope', undefined, null],
  [undefined, `mr_${'a'.repeat(129)}`, null],
  ['Bearer mra_operators-key-is-one-of-ours', undefined, 'mra_operators-key-is-one-of-ours'],
  [undefined, undefined, null],
])('of the headers %j and %j the key is %j', (authorization, apiKey, expected) => {
  expect(presentedKey({ authorization, apiKey })).toBe(expected);
});

it('a key carries its random bytes, and what is kept of it names it without being it', () => {
  const made = apiKeyOf(Buffer.alloc(32, 255));
  expect(made).toBe(`mr_${'_'.repeat(42)}8`);
  expect(presentedKey({ authorization: `Bearer ${made}`, apiKey: undefined })).toBe(made);
  const kept = keptApiKey(made);
  expect(kept.id).toMatch(/^key_[0-9a-f]{32}$/);
  expect(kept.last4).toBe(made.slice(-4));
  expect(kept.hash).toHaveLength(32);
});
