import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { broken, bugs } from './agent-bugs.fixture.ts';
import { AgentWorld } from './agent-world.fixture.ts';
import { Violation } from './dice.fixture.ts';

/** Orders of events that are tried: of jest.config.mjs. */
declare const eventOrders: number;
/** Orders within which every bug has to be caught. */
const ordersOfBug = 500;

describe('an agent in a world of whims', () => {
  it('keeps its invariants and ends, whatever comes late, twice, never or out of order', () => {
    const ends = new Set<string>();
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        ends.add(new AgentWorld({ seed }).live());
      }),
      { numRuns: eventOrders, endOnFailure: true },
    );
    expect([...ends].sort()).toEqual(['cancelled', 'expired', 'failed', 'succeeded']);
  }, 7_200_000);

  it.each(Object.entries(bugs))('catches it when %s', (what, reducer) => {
    const isCaught = (seed: number) => {
      try {
        new AgentWorld({ seed, reducer: reducer() }).live();
        return false;
      } catch (error) {
        if (error instanceof Violation) return broken[what]!.test(error.message);
        throw error;
      }
    };
    const seeds = Array.from({ length: ordersOfBug }, (_, seed) => seed);
    expect(seeds.some(isCaught)).toBe(true);
  });
});
