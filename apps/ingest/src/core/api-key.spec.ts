import { expect, it } from '@jest/globals';

import { presentedKey } from './api-key.ts';

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
  [undefined, undefined, null],
])('of the headers %j and %j the key is %j', (authorization, apiKey, expected) => {
  expect(presentedKey({ authorization, apiKey })).toBe(expected);
});
