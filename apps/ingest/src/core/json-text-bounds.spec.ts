import { describe, expect, it } from '@jest/globals';
import { jsonDepthMax, jsonValuesMax } from '@millrace/contracts';
import fc from 'fast-check';

import { jsonBoundsError } from './json-bounds.ts';
import { jsonTextBoundsError } from './json-text-bounds.ts';

const boundsOf = (text: string): string | null => jsonTextBoundsError(Buffer.from(text));
const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

describe('the bounds of a JSON text', () => {
  it('holds what is within those of the value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 20 }), (value) => {
        if (jsonBoundsError(value) !== null) return;
        expect(boundsOf(JSON.stringify(value))).toBeNull();
      }),
    );
  });

  it('ends at the first level that is too deep', () => {
    expect(boundsOf(nested(jsonDepthMax))).toBeNull();
    expect(boundsOf(nested(jsonDepthMax + 1))).toContain('nested deeper');
    expect(boundsOf('{"a":'.repeat(jsonDepthMax + 1))).toContain('nested deeper');
    expect(boundsOf(nested(5_000_000))).toContain('nested deeper');
  });

  it('ends where there are too many values', () => {
    expect(boundsOf(`[${'0,'.repeat(jsonValuesMax - 1)}0]`)).toBeNull();
    expect(boundsOf(`[${'[],'.repeat(3_000_000)}[]]`)).toContain('more than');
  });

  it('looks over what stands in strings, whatever is escaped in them', () => {
    const brackets = '['.repeat(jsonDepthMax + 1);
    const tricky = ['\\', '"', '\\"', '\\\\', '"\\\\"', ','].map((text) => text + brackets);
    for (const text of tricky) expect(boundsOf(JSON.stringify({ [text]: text }))).toBeNull();
  });

  it('ends with a string that does not', () => {
    expect(boundsOf('"abc')).toBeNull();
    expect(boundsOf('"abc\\"')).toBeNull();
  });
});
