import { describe, expect, it } from '@jest/globals';

import { OffsetTracker } from './offset-tracker.ts';

function taken(...offsets: string[]): OffsetTracker {
  const tracker = new OffsetTracker();
  for (const offset of offsets) tracker.taken(offset);
  return tracker;
}

describe('the offset to be committed', () => {
  it('is none before anything was taken', () => {
    expect(new OffsetTracker().due()).toBeNull();
  });

  it('is behind the last record when all are answered, in whatever order', () => {
    const tracker = taken('5', '6', '7');
    for (const offset of ['7', '5', '6']) tracker.answered(offset);
    expect(tracker.due()).toBe('8');
  });

  it('never passes a record that is not answered', () => {
    const tracker = taken('5', '6', '7');
    tracker.answered('5');
    tracker.answered('7');
    expect(tracker.due()).toBe('6');
  });

  it('is told once', () => {
    const tracker = taken('5');
    tracker.answered('5');
    tracker.committed('6');
    expect(tracker.due()).toBeNull();
  });

  it('passes gaps, which compaction and transactions leave', () => {
    const tracker = taken('5', '9');
    tracker.answered('5');
    expect(tracker.due()).toBe('9');
    tracker.answered('9');
    expect(tracker.due()).toBe('10');
  });
});
