import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { crc32c } from './crc32c.ts';

/** Bit by bit, from the definition. */
function slowly(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
  }
  return ~crc >>> 0;
}

describe('CRC-32C', () => {
  // RFC 3720, B.4; the third is the check value of the catalogue of CRC algorithms.
  it.each([
    ['32 bytes of zeros', Buffer.alloc(32), 0x8a91_36aa],
    ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8_ab43],
    ['nine digits', Buffer.from('123456789'), 0xe306_9283],
    ['nothing', Buffer.alloc(0), 0],
  ])('of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  it('is the same eight bytes at a time and bit by bit, of any part', () => {
    const anyPart = fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.nat(20), fc.nat(20));
    fc.assert(
      fc.property(anyPart, ([bytes, before, after]) => {
        const to = Math.max(before, bytes.length - after);
        expect(crc32c(bytes, before, to)).toBe(slowly(bytes.subarray(before, to)));
      }),
    );
  });
});
