import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { Violation } from './dice.fixture.ts';
import { documentBugs } from './document-bugs.fixture.ts';
import { DocumentWorld } from './document-world.fixture.ts';

/** Orders of events that are tried: of jest.config.mjs. */
declare const documentOrders: number;
/** Orders within which every bug has to be caught. */
const ordersOfBug = 500;

describe('a document in a world of whims', () => {
  it('keeps its invariants and ends, whatever fails, is lost, comes twice or out of order', () => {
    const ends = new Set<string>();
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        ends.add(new DocumentWorld({ seed }).live());
      }),
      { numRuns: documentOrders, endOnFailure: true },
    );
    expect([...ends].sort()).toEqual(['cancelled', 'expired', 'failed', 'succeeded']);
  }, 7_200_000);

  it.each(documentBugs)('catches it when $what', ({ breaks, reducer }) => {
    const isCaught = (seed: number) => {
      try {
        new DocumentWorld({ seed, reducer: reducer() }).live();
        return false;
      } catch (error) {
        if (error instanceof Violation) return breaks.test(error.message);
        throw error;
      }
    };
    const seeds = Array.from({ length: ordersOfBug }, (_, seed) => seed);
    expect(seeds.some(isCaught)).toBe(true);
  });
});
