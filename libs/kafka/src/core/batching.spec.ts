import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { countThatFits, slices } from './batching.ts';

const sizes = fc.array(fc.nat({ max: 50 }), { maxLength: 100 });
const limits = { countMax: 7, bytesMax: 60 };
const grouped = {
  ...limits,
  groupOf: ({ topic }: { topic: string }) => topic,
  bytesOf: ({ bytes }: { bytes: number }) => bytes,
};
const itself = (size: number): number => size;

describe('slices', () => {
  it('keep every item, in order, within the limits', () => {
    fc.assert(
      fc.property(sizes, (items) => {
        const cut = slices(items, itself, limits);
        expect(cut.flat()).toEqual(items);
        for (const slice of cut) {
          expect(slice.length).toBeGreaterThan(0);
          expect(slice.length).toBeLessThanOrEqual(limits.countMax);
          const bytes = slice.reduce((sum, size) => sum + size, 0);
          expect(slice.length === 1 || bytes <= limits.bytesMax).toBe(true);
        }
      }),
    );
  });

  it('give an oversized item one of its own', () => {
    expect(slices([1, 99, 1], itself, limits)).toEqual([[1], [99], [1]]);
  });
});

describe('one request', () => {
  const item = fc.record({ topic: fc.constantFrom('a', 'b'), bytes: fc.nat({ max: 90 }) });

  it('takes at least one, and of a topic no more than its record batch may have', () => {
    fc.assert(
      fc.property(fc.array(item, { minLength: 1, maxLength: 50 }), (queue) => {
        const fits = countThatFits(queue, grouped);
        expect(fits).toBeGreaterThan(0);
        expect(fits).toBeLessThanOrEqual(limits.countMax);
        for (const topic of ['a', 'b']) {
          const own = queue.slice(0, fits).filter((entry) => entry.topic === topic);
          const heavy = own.filter(({ bytes }) => bytes > 0);
          const bytes = own.reduce((sum, entry) => sum + entry.bytes, 0);
          expect(heavy.length <= 1 || bytes <= limits.bytesMax).toBe(true);
        }
      }),
    );
  });
});
