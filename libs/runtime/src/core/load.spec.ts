import { describe, expect, it } from '@jest/globals';

import { addLoad, lingerMs, noLoad } from './load.ts';

const settings = { busyPerSecond: 300, lingerMs: 10 };

/** The load after a steady flow for two seconds. */
function flow(perSecond: number): ReturnType<typeof addLoad> {
  let load = noLoad;
  for (let at = 0; at < 2000; at += 1000 / perSecond) load = addLoad(load, 1, at);
  return load;
}

describe('lingering', () => {
  it.each([
    [1, 0],
    [20, 0],
    [200, 0],
    [1000, 10],
    [5000, 10],
  ])('at %i a second is %i ms', (perSecond, expected) => {
    expect(lingerMs(flow(perSecond), settings)).toBe(expected);
  });

  it('ends within two seconds after the rush', () => {
    expect(lingerMs(addLoad(flow(5000), 1, 4000), settings)).toBe(0);
  });
});
