import { describe, expect, it } from '@jest/globals';

import { isDeeperThan } from './json-depth.ts';

describe('the depth of a value', () => {
  it.each<[string, number]>([
    ['"[[[["', 0],
    ['null', 0],
    ['{}', 1],
    ['[1,"a",[]]', 2],
    ['{"a":[{"b":1},[[]]]}', 4],
  ])('of %s is %d', (json, depth) => {
    expect(isDeeperThan(JSON.parse(json), depth)).toBe(false);
    if (depth > 0) expect(isDeeperThan(JSON.parse(json), depth - 1)).toBe(true);
  });

  it('is known of what would overflow the stack', () => {
    let value: unknown = [];
    for (let i = 0; i < 100_000; i += 1) value = [value];
    expect(isDeeperThan(value, 63)).toBe(true);
  });
});
