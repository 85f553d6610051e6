import { describe, expect, it } from '@jest/globals';

import { faultOf, Faults } from './faults.mjs';

describe('faults that the stand-in plays', () => {
  it('plays what a prompt asks for, as often as it asks, each prompt by itself', () => {
    const faults = new Faults();
    const prompt = 'Hello [[fault:429 retry_after=7 times=2]]';
    expect(faults.take(prompt)).toMatchObject({ kind: '429', retryAfterS: 7 });
    expect(faults.take(`${prompt} again`)).toMatchObject({ kind: '429' });
    expect(faults.take(prompt)).toMatchObject({ kind: '429' });
    expect(faults.take(prompt)).toBeUndefined();
  });

  it('never gets better without a number of times', () => {
    const faults = new Faults();
    const kinds = Array.from({ length: 20 }, () => faults.take('[[fault:529]]')?.kind);
    expect(new Set(kinds)).toEqual(new Set(['529']));
  });

  it('plays queued faults first, for whoever asks next', () => {
    const faults = new Faults();
    const fault = faultOf({ kind: 'cut', after: 2, times: 1 });
    if (fault !== undefined) faults.queue(fault);
    expect(faults.take('anything')).toMatchObject({ kind: 'cut', afterEvents: 2 });
    expect(faults.take('anything')).toBeUndefined();
  });

  it('takes the time that a prompt asks for, each time', () => {
    const faults = new Faults();
    for (const _ of [1, 2]) {
      expect(faults.take('[[fault:slow ms=120]]')).toMatchObject({ kind: 'slow', ms: 120 });
    }
  });

  it('knows no other kinds', () => {
    expect(faultOf({ kind: 'fire' })).toBeUndefined();
    expect(new Faults().take('[[fault:fire]]')).toBeUndefined();
  });
});
