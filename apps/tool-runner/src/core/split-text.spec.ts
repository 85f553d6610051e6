import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { estimateTokens, splitText, type TextPart } from './split-text.ts';

const options = { tokensMax: 40, overlapTokens: 8 };

const textOf = (text: string, { start, end }: TextPart) => text.slice(start, end);
const bodyOf = (text: string, { start, end, overlap }: TextPart) =>
  text.slice(start + overlap, end);

const texts = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.lorem({ maxCount: 6, mode: 'sentences' }),
      fc.constantFrom('\n\n', '\n# Heading\n', '\n', '. ', '。', '😀😀😀', '\t', 'x'.repeat(900)),
    ),
    { maxLength: 20 },
  )
  .map((pieces) => pieces.join(''));

describe('splitText', () => {
  it('loses nothing: without their overlaps the parts are the text', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 10, max: 400 }), (text, tokensMax) => {
        const parts = splitText(text, { tokensMax, overlapTokens: Math.floor(tokensMax / 5) });
        expect(parts.map((part) => bodyOf(text, part)).join('')).toBe(text);
      }),
    );
  });

  it('makes no part that is above the limit, or empty', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 10, max: 400 }), (text, tokensMax) => {
        const overlapTokens = Math.floor(tokensMax / 5);
        for (const part of splitText(text, { tokensMax, overlapTokens })) {
          expect(bodyOf(text, part)).not.toBe('');
          // Each is rounded up by itself.
          expect(estimateTokens(textOf(text, part))).toBeLessThanOrEqual(tokensMax + 1);
        }
      }),
    );
  });

  it('cuts within no code point', () => {
    fc.assert(
      fc.property(texts, (text) => {
        for (const part of splitText(text, options)) {
          expect(textOf(text, part).isWellFormed()).toBe(text.isWellFormed());
        }
      }),
    );
  });

  it('has nothing to say of an empty text, and one part for a short one', () => {
    expect(splitText('', options)).toEqual([]);
    expect(splitText('Short.', options)).toEqual([{ start: 0, end: 6, overlap: 0 }]);
  });

  it('begins a part at a heading rather than fill the one before it', () => {
    const chapter = (name: string) => `# ${name}\n\n${'Some words of it. '.repeat(5)}\n`;
    const text = chapter('One') + chapter('Two') + chapter('Three');
    const bodies = splitText(text, { tokensMax: 60, overlapTokens: 0 }).map((part) =>
      bodyOf(text, part),
    );
    expect(bodies.map((body) => body.slice(0, 5))).toEqual(['# One', '# Two', '# Thr']);
  });

  it('tells the end of a part again in the next, from a sentence on', () => {
    const text = Array.from({ length: 30 }, (_, n) => `Sentence number ${n} is here. `).join('');
    const [, second] = splitText(text, { tokensMax: 60, overlapTokens: 20 });
    if (second === undefined) throw new TypeError('there is no second part');
    expect(second.overlap).toBeGreaterThan(0);
    expect(textOf(text, second)).toMatch(/^Sentence number/);
  });

  it('takes a text of 32 MB without a boundary in a second', () => {
    const text = 'x'.repeat(32 * 1024 * 1024);
    const begun = performance.now();
    const parts = splitText(text, { tokensMax: 8_000, overlapTokens: 200 });
    expect(parts.length).toBeGreaterThan(1_000);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});
