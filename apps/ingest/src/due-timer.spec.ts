import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { DueTimer } from './due-timer.ts';

describe('a timer of what falls due', () => {
  let looks: number[] = [];
  let nextInMs = Infinity;
  let failure: Error | null = null;
  let errors: unknown[] = [];
  let timer: DueTimer;

  beforeEach(() => {
    jest.useFakeTimers();
    looks = [];
    nextInMs = Infinity;
    failure = null;
    errors = [];
    const beganAtMs = performance.now();
    timer = new DueTimer({
      everyMsMax: 5_000,
      onError: (error) => errors.push(error),
      look: async () => {
        looks.push(performance.now() - beganAtMs);
        if (failure !== null) throw failure;
        return nextInMs;
      },
    });
  });
  afterEach(async () => {
    await timer.stop();
    jest.useRealTimers();
  });

  it('looks at once, and then at the latest after its longest wait', async () => {
    timer.wakeIn(0);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(looks).toEqual([0, 5_000, 10_000]);
  });

  it('looks when the next is due, and earlier when something earlier comes', async () => {
    timer.wakeIn(0);
    nextInMs = 3_000;
    await jest.advanceTimersByTimeAsync(1_000);
    timer.wakeIn(4_000);
    timer.wakeIn(500);
    timer.wakeIn(-1_000);
    await jest.advanceTimersByTimeAsync(3_000);
    expect(looks).toEqual([0, 1_000, 4_000]);
  });

  it('looks again soon after a look that failed', async () => {
    failure = new Error('Postgres is away');
    timer.wakeIn(0);
    await jest.advanceTimersByTimeAsync(1_500);
    failure = null;
    await jest.advanceTimersByTimeAsync(3_000);
    expect(errors).toHaveLength(2);
    expect(looks).toEqual([0, 1_000, 2_000]);
  });

  it('looks no more when it is stopped', async () => {
    timer.wakeIn(0);
    await jest.advanceTimersByTimeAsync(0);
    await timer.stop();
    timer.wakeIn(0);
    await jest.advanceTimersByTimeAsync(20_000);
    expect(looks).toEqual([0]);
  });
});
