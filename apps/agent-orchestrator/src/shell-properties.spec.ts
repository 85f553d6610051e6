import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { Violation } from './core/dice.fixture.ts';
import type { ShellBug } from './memory-workflows.fixture.ts';
import { ShellWorld } from './shell-world.fixture.ts';

/** Orders of events that are tried: of jest.config.mjs. */
declare const shellOrders: number;
/** Orders within which every bug has to be caught. */
const ordersOfBug = 500;

/** What each of them breaks: being caught for another reason would prove nothing. */
const bugs: Readonly<Record<ShellBug, RegExp>> = {
  'the swap is not compared': /^I3: a journal has no gap/,
  // What comes again is ignored then, and not told again.
  'the inbox is not asked': /^I3: an event stands once|^what a journal orders|^a run goes on/,
  'what is known is not told again': /^what a journal orders|^a run goes on|^a run ends/,
  'who lost a swap does not decide again': /^what is published stands|^a run goes on|^a run ends/,
  'an entry is written though its row was lost': /^I3: /,
  'a timer that fired stays': /^a timer that has fired is due no more/,
  'what is decided is published before it is committed': /^what is published stands/,
  'the offset moves before what is published': /^what a journal orders|^a run goes on|^a run ends/,
  'the outbox is never swept': /^what a journal orders|^a run goes on|^a run ends/,
  'a token is not looked at': /^what strangers say/,
};

describe('the shell in a world of crashes', () => {
  it('keeps one journal for each run, and does what it orders once', async () => {
    const ends = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        ends.add(await new ShellWorld({ seed }).live());
      }),
      { numRuns: shellOrders, endOnFailure: true },
    );
    expect([...ends].sort()).toEqual(['cancelled', 'succeeded']);
  }, 7_200_000);

  it.each(Object.entries(bugs))('catches it when %s', async (bug, breaks) => {
    const isCaught = async (seed: number) => {
      try {
        await new ShellWorld({ seed, bug: bug as ShellBug }).live();
        return false;
      } catch (error) {
        if (error instanceof Violation) return breaks.test(error.message);
        throw error;
      }
    };
    let caught = false;
    for (let seed = 0; seed < ordersOfBug && !caught; seed += 1) caught = await isCaught(seed);
    expect(caught).toBe(true);
  }, 60_000);
});
