import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { addSpans, rootSamplingStart, sampleRoot } from './root-sampling.ts';

const policy = { spansPerSecondMax: 2_000, spansOfRoot: 10, ratioAbove: 0.05 };
/** Of all ids the last to be kept by ratio. */
const unlikely = 'f'.repeat(32);

/** How many of so many roots in one second are kept, each of which has so many spans more. */
function keptOf(roots: number, { more = 0 } = {}): number {
  let state = rootSamplingStart;
  let kept = 0;
  const nowMs = 5_000;
  for (let n = 0; n < roots; n += 1) {
    const traceId = Math.floor((n / roots) * 0xffff_ffff).toString(16).padStart(32, '0');
    const result = sampleRoot(policy, state, { traceId, nowMs });
    state = result.state;
    if (!result.keep) continue;
    kept += 1;
    state = addSpans(policy, state, { spans: more, nowMs });
  }
  return kept;
}

describe('new traces', () => {
  it('are all kept up to the limit of a second', () => {
    expect(keptOf(1)).toBe(1);
    expect(keptOf(200)).toBe(200);
  });

  it('are kept by ratio above it', () => {
    const kept = keptOf(10_000);
    expect(kept).toBeGreaterThanOrEqual(500);
    expect(kept).toBeLessThanOrEqual(700);
  });

  it('are fewer when each has more spans', () => {
    const kept = keptOf(100, { more: 90 });
    expect(kept).toBeGreaterThanOrEqual(20);
    expect(kept).toBeLessThanOrEqual(30);
  });

  it('are counted anew each second', () => {
    const full = { second: 5, spans: 2_000 };
    const root = { traceId: unlikely, nowMs: 6_000 };
    expect(sampleRoot(policy, full, root).keep).toBe(true);
    expect(sampleRoot(policy, full, { ...root, nowMs: 5_999 }).keep).toBe(false);
  });

  it('pay in the next second for what was overdrawn, and not for longer', () => {
    const spent = addSpans(policy, rootSamplingStart, { spans: 50_000, nowMs: 5_000 });
    const keepAt = (nowMs: number): boolean =>
      sampleRoot(policy, spent, { traceId: unlikely, nowMs }).keep;
    expect([5_000, 6_000, 7_000].map(keepAt)).toEqual([false, false, true]);
  });

  it('are kept after the clock was set back', () => {
    const full = { second: 3_600, spans: 4_000 };
    expect(sampleRoot(policy, full, { traceId: unlikely, nowMs: 0 }).keep).toBe(true);
  });

  it('never have more spans than a second allows, but for the ratio', () => {
    const arrivals = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 1_000 });
    fc.assert(
      fc.property(arrivals, (timesMs) => {
        let state = rootSamplingStart;
        const kept = new Map<number, number>();
        for (const nowMs of timesMs.sort((a, b) => a - b)) {
          const result = sampleRoot(policy, state, { traceId: unlikely, nowMs });
          state = result.state;
          const second = Math.floor(nowMs / 1000);
          if (result.keep) kept.set(second, (kept.get(second) ?? 0) + policy.spansOfRoot);
        }
        for (const spans of kept.values()) expect(spans).toBeLessThanOrEqual(2_000);
      }),
    );
  });
});
