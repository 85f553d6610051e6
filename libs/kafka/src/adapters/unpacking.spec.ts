import { gzipSync, zstdCompressSync } from 'node:zlib';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { UnpackError } from '../core/unpacked-bytes.ts';
import { unpack } from './unpacking.ts';

const bytesMax = 64 * 1024;
const text = 'all work and no play makes jack a dull boy\n';
const lz4Magic = Buffer.from([0x04, 0x22, 0x4d, 0x18]);

/** An LZ4 frame of one block. */
function lz4Frame(block: Buffer, flags = 0x60): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(block.length);
  return Buffer.concat([lz4Magic, Buffer.from([flags, 0x40, 0]), size, block, Buffer.alloc(4)]);
}

/** A pair of a literal and a match that repeats the byte before it, as long as is said. */
function lz4Bomb(times255: number): Buffer {
  const length = Buffer.concat([Buffer.alloc(times255, 255), Buffer.from([0])]);
  return lz4Frame(Buffer.concat([Buffer.from([0x1f, 0x61, 1, 0]), length]));
}

/** One literal byte, then copies of it, 64 bytes each. */
function snappyBomb(copies: number): Buffer {
  const copy = Buffer.from([0xfe, 1, 0]);
  const parts = Array.from({ length: copies }, () => copy);
  return Buffer.concat([Buffer.from([0x7f, 0x00, 0x61]), ...parts]);
}

const reasonOf = (packing: number, packed: Buffer) =>
  unpack(packing, packed, bytesMax).then(
    (bytes) => bytes.length,
    (error: unknown) => (error instanceof UnpackError ? error.reason : error),
  );

describe('what is packed', () => {
  it.each([
    ['gzip', 1, gzipSync(text.repeat(100))],
    ['zstd', 4, zstdCompressSync(text.repeat(100))],
  ])('by %s is unpacked', async (_, packing, packed) => {
    expect(String(await unpack(packing, packed, bytesMax))).toBe(text.repeat(100));
  });

  it('by LZ4 is unpacked: literals, a match that runs into itself, a last literal', async () => {
    const block = Buffer.from([0x35, 0x61, 0x62, 0x63, 3, 0, 0x10, 0x64]);
    expect(String(await unpack(3, lz4Frame(block), bytesMax))).toBe('abcabcabcabcd');
  });

  it('by LZ4 in blocks that refer to each other and have checksums is unpacked', async () => {
    const blocks = ['04000000 30616263 00000000', '05000000 0003001064 00000000', '00000000'];
    const bytes = Buffer.from(blocks.join('').replaceAll(' ', ''), 'hex');
    const packed = Buffer.concat([lz4Magic, Buffer.from([0x50, 0x40, 0]), bytes]);
    expect(String(await unpack(3, packed, bytesMax))).toBe('abcabcad');
  });

  it('by snappy is unpacked: literals, and copies of each form', async () => {
    const parts = ['0f', '08616263', '0103', '0a0300', '0f01000000', '0064'];
    const packed = Buffer.from(parts.join(''), 'hex');
    expect(String(await unpack(2, packed, bytesMax))).toBe('abcabcabcaaaaad');
  });
});

describe('what unpacks to too much', () => {
  it.each([
    ['gzip', 1, gzipSync(Buffer.alloc(bytesMax + 1))],
    ['snappy', 2, snappyBomb(1_024)],
    ['LZ4', 3, lz4Bomb(257)],
    ['zstd', 4, zstdCompressSync(Buffer.alloc(bytesMax + 1))],
  ])('by %s is refused', async (_, packing, packed) => {
    expect(await reasonOf(packing, packed)).toBe('too_large');
  });

  it.each([
    ['snappy', 2, snappyBomb(1_023), 1 + 1_023 * 64],
    ['LZ4', 3, lz4Bomb(256), 1 + 19 + 256 * 255],
  ])('by %s is unpacked when it is a little less', async (_, packing, packed, length) => {
    expect(await reasonOf(packing, packed)).toBe(length);
  });
});

it.each([1, 2, 3, 4, 7])('any bytes in the form %d end, within their limit', async (packing) => {
  const starts = [Buffer.alloc(0), lz4Frame(Buffer.alloc(0)).subarray(0, 7), gzipSync('')];
  const rests = fc.uint8Array({ maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...starts), rests, async (s, b) => {
      const result = await reasonOf(packing, Buffer.concat([s, b]));
      const isWithin = typeof result === 'number' && result <= bytesMax;
      expect(isWithin || result === 'damaged' || result === 'too_large').toBe(true);
    }),
  );
});
