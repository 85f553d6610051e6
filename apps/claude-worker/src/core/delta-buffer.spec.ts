import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { DeltaBuffer } from './delta-buffer.ts';

describe('the text that waits to be told', () => {
  it('leaves whole and in order, each piece with its place', () => {
    const unit = fc.string({ unit: 'grapheme', maxLength: 20 });
    const step = fc.oneof(unit, fc.constant(null), fc.constant('é😀'.repeat(30_000)));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const buffer = new DeltaBuffer();
        const deltas = steps.flatMap((text) => {
          if (text === null) return buffer.take();
          buffer.append(text);
          return [];
        });
        deltas.push(...buffer.take());
        const whole = steps.join('');
        expect(deltas.map(({ text }) => text).join('')).toBe(whole);
        for (const { start, text } of deltas) {
          expect(whole.slice(start, start + text.length)).toBe(text);
          expect(Buffer.from(text).toString()).toBe(text);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('is full with 2 KiB of UTF-8, and empty again when it was taken', () => {
    const buffer = new DeltaBuffer();
    buffer.append('é'.repeat(1023));
    expect(buffer.isFull).toBe(false);
    buffer.append('é');
    expect(buffer.isFull).toBe(true);
    buffer.take();
    expect(buffer.isFull).toBe(false);
    buffer.append('x'.repeat(2047));
    expect(buffer.isFull).toBe(false);
  });
});
