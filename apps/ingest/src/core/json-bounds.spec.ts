import { describe, expect, it } from '@jest/globals';
import { jsonDepthMax, jsonValuesMax } from '@millrace/contracts';

import { jsonBoundsError } from './json-bounds.ts';

const nested = (levels: number): unknown =>
  JSON.parse('[{"a":'.repeat(levels / 2) + '1' + '}]'.repeat(levels / 2));

describe('the bounds of a JSON value', () => {
  it.each([1, 'text', null, [], {}, { a: [1, { b: null }] }])('%j is within them', (value) => {
    expect(jsonBoundsError(value)).toBeNull();
  });

  it('has a depth that is just allowed', () => {
    expect(jsonBoundsError(nested(jsonDepthMax))).toBeNull();
    expect(jsonBoundsError(nested(jsonDepthMax + 2))).toContain('nested deeper');
  });

  it('ends at a depth that no stack would hold', () => {
    expect(jsonBoundsError(nested(200_000))).toContain('nested deeper');
  });

  it('has a number of values that is just allowed', () => {
    const many = (count: number): unknown[] => Array.from({ length: count }, () => 0);
    expect(jsonBoundsError(many(jsonValuesMax))).toBeNull();
    expect(jsonBoundsError(many(jsonValuesMax + 1))).toContain('more than');
    const spread = Array.from({ length: 1_000 }, () => many(jsonValuesMax / 1_000));
    expect(jsonBoundsError(spread)).toContain('more than');
  });

  it('refuses a key that reaches a prototype, at any place', () => {
    expect(jsonBoundsError(JSON.parse('[{"a":{"__proto__":1}}]'))).toContain('__proto__');
  });
});
