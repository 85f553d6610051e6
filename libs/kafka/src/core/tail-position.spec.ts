import { expect, it } from '@jest/globals';

import { hasReached } from './tail-position.ts';

it.each([
  ['at the ends', { 0: '10', 1: '5' }, true],
  ['beyond them, as records came since', { 0: '12', 1: '5' }, true],
  ['behind in one partition', { 0: '10', 1: '4' }, false],
  ['far behind: places are numbers, not texts', { 0: '9', 1: '5' }, false],
  ['without a place yet in one that holds records', { 0: '10' }, false],
])('a reader %s', (_what, positions: Record<string, string>, expected) => {
  const places = new Map(Object.entries(positions).map(([name, at]) => [Number(name), at]));
  const ranges = [
    { partition: 0, first: '0', end: '10' },
    { partition: 1, first: '2', end: '5' },
    { partition: 2, first: '7', end: '7' },
  ];
  expect(hasReached(places, ranges)).toBe(expected);
});
