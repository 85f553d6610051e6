import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { SweepPlan, sweepRowsMax } from './sweep-plan.ts';

describe('SweepPlan', () => {
  it('takes full batches while all goes well', () => {
    const plan = new SweepPlan();
    plan.succeeded(['a', 'b']);
    expect(plan.limit).toBe(sweepRowsMax);
    expect(plan.aside(0)).toEqual([]);
  });

  it('puts a row aside only when it failed alone, and longer each time', () => {
    const plan = new SweepPlan();
    plan.failed(['a', 'b'], { nowMs: 0, refused: true });
    expect(plan.aside(0)).toEqual([]);
    expect(plan.limit).toBe(1);
    plan.failed(['a'], { nowMs: 1_000, refused: true });
    expect(plan.aside(2_999)).toEqual(['a']);
    expect(plan.aside(3_000)).toEqual([]);
    plan.failed(['a'], { nowMs: 3_000, refused: true });
    expect(plan.aside(6_999)).toEqual(['a']);
    plan.succeeded(['a']);
    expect(plan.aside(6_999)).toEqual([]);
  });

  it('tries a row again soon after an outage, however long that was', () => {
    const plan = new SweepPlan();
    for (let nowMs = 0; nowMs < 600_000; nowMs += 20_000) {
      plan.failed(['a'], { nowMs, refused: false });
      expect(plan.aside(nowMs + 1_999)).toEqual(['a']);
      expect(plan.aside(nowMs + 16_000)).toEqual([]);
    }
  });

  it('gets good rows out past those of a partition that is away', () => {
    const plan = new SweepPlan();
    const away = Array.from({ length: 10 }, (_, row) => `away ${row}`);
    let left = [...away, 'good'];
    for (let nowMs = 0; nowMs < 60_000; nowMs += 1_000) {
      const aside = new Set(plan.aside(nowMs));
      const batch = left.filter((id) => !aside.has(id)).slice(0, plan.limit);
      if (batch.some((id) => away.includes(id))) plan.failed(batch, { nowMs, refused: false });
      else left = left.filter((id) => !batch.includes(id));
    }
    expect(left).toEqual(away);
  });

  it('gets every good row out past any number of bad ones', () => {
    const rowsOf = fc.array(fc.boolean(), { minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(rowsOf, (badness) => {
        const plan = new SweepPlan();
        const bad = new Set(badness.flatMap((is, row) => (is && row % 40 === 0 ? [`${row}`] : [])));
        let left = badness.map((_is, row) => `${row}`);
        for (let turn = 0; turn < 200 && left.length > bad.size; turn += 1) {
          const aside = new Set(plan.aside(turn));
          const batch = left.filter((id) => !aside.has(id)).slice(0, plan.limit);
          if (batch.some((id) => bad.has(id))) plan.failed(batch, { nowMs: turn, refused: true });
          else {
            plan.succeeded(batch);
            left = left.filter((id) => !batch.includes(id));
          }
        }
        expect(left).toEqual([...bad]);
      }),
    );
  });
});
