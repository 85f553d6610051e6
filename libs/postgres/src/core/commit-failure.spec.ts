import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { classifyCommitFailure, raceWaitMs } from './commit-failure.ts';

describe('classifyCommitFailure', () => {
  it.each([
    ['40P01', 'again', 'deadlock'],
    ['40001', 'again', 'serialization failure'],
    ['22P05', 'bad-row', 'a character that jsonb cannot hold'],
    ['22021', 'bad-row', 'a byte that is no UTF-8'],
    ['23505', 'bad-row', 'unique violation'],
    ['23502', 'bad-row', 'null where none may be'],
    ['54000', 'bad-row', 'a key too long for its index'],
    ['57P01', 'lost', 'the server shuts down'],
    ['57014', 'lost', 'statement timeout'],
    ['53100', 'lost', 'disk full'],
    ['42501', 'lost', 'no privilege: nobody is at fault but the deployment'],
    ['42P01', 'lost', 'no such table: not migrated yet'],
  ])('%s is %s: %s', (sqlState, kind) => {
    expect(classifyCommitFailure(sqlState).kind).toBe(kind);
  });

  it('takes an error without a SQLSTATE for a lost connection, never for a bad row', () => {
    expect(classifyCommitFailure(null)).toEqual({ kind: 'lost' });
  });
});

describe('raceWaitMs', () => {
  it('grows, stays below a quarter of a second, and is never the same for two', () => {
    const randoms = fc.double({ min: 0, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), randoms, (attempt, random) => {
        const waitMs = raceWaitMs(attempt, random);
        expect(waitMs).toBeGreaterThan(0);
        expect(waitMs).toBeLessThan(250);
        expect(raceWaitMs(attempt + 1, random)).toBeGreaterThan(waitMs);
      }),
    );
  });
});
