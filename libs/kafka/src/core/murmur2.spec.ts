import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Partitioners } from 'kafkajs';

import { murmur2 } from './murmur2.ts';

describe('murmur2', () => {
  // Kafka's own: UtilsTest.testMurmur2.
  it.each([
    ['21', -973_932_308],
    ['foobar', -790_332_482],
    ['a-little-bit-long-string', -985_981_536],
    ['a-little-bit-longer-string', -1_486_304_829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
    ['abc', 479_470_107],
  ])('of %s is as Kafka has it', (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash);
  });

  it('leads to the partition that kafkajs chooses', () => {
    const chosen = Partitioners.DefaultPartitioner();
    const partitionMetadata = Array.from({ length: 7 }, (_, n) => ({ partitionId: n, leader: 1 }));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const key = Buffer.from(bytes);
        const message = { key, value: null };
        const given = { topic: 't', message, partitionMetadata: partitionMetadata as never };
        expect((murmur2(key) & 0x7fff_ffff) % 7).toBe(chosen(given));
      }),
    );
  });
});
