import { expect, it } from '@jest/globals';

import { planKills } from './kill-plan.ts';

const victims = new Map([
  ['ingest', ['ingest-1', 'ingest-2']],
  ['tool-runner', ['tool-runner-1', 'tool-runner-2']],
]);
const plan = (seed: number) => planKills({ seed, kills: 20, gapMs: 5_000, victims });

it('is the same for the same seed, and another for another', () => {
  expect(plan(1)).toEqual(plan(1));
  expect(plan(1)).not.toEqual(plan(2));
});

it('has its kills in order, each service equally often, both replicas of each', () => {
  const kills = plan(3);
  const times = kills.map(({ atMs }) => atMs);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  const byService = Map.groupBy(kills, ({ service }) => service);
  expect([...byService.values()].map(({ length }) => length)).toEqual([10, 10]);
  expect(new Set(kills.map(({ name }) => name)).size).toBe(4);
});

it('never kills a process so often that the stack gives it up', () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const kills = planKills({ seed, kills: 40, gapMs: 500, victims });
    for (const { atMs, name } of kills) {
      const before = kills.filter((kill) => kill.name === name && kill.atMs <= atMs);
      const near = before.filter((kill) => atMs - kill.atMs < 60_000);
      expect(near.length).toBeLessThanOrEqual(5);
    }
  }
});
