import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { formatTraceParent, parseTraceParent } from './trace-context.ts';

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
    .map((digits) => digits.join(''))
    .filter((digits) => /[1-9a-f]/.test(digits));

describe('traceparent', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(hex(32), hex(16), fc.constantFrom(0, 1), (traceId, spanId, flags) => {
        const parent = { traceId, spanId, flags };
        expect(parseTraceParent(formatTraceParent(parent))).toEqual(parent);
      }),
    );
  });

  it.each([
    '',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331',
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more',
  ])('%j is ignored', (header) => {
    expect(parseTraceParent(header)).toBeUndefined();
  });

  it('of a later version is read as far as it is known', () => {
    const header = '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes';
    expect(parseTraceParent(header)).toMatchObject({ spanId: 'b7ad6b7169203331', flags: 1 });
  });
});
