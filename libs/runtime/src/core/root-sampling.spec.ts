import { describe, expect, it } from '@jest/globals';

import { rootSamplingStart, sampleRoot } from './root-sampling.ts';

const policy = { rootsPerSecondMax: 200, ratioAbove: 0.05 };

/** How many of so many roots in one second are kept. */
function keptOf(roots: number): number {
  let state = rootSamplingStart;
  let kept = 0;
  for (let n = 0; n < roots; n += 1) {
    const traceId = Math.floor((n / roots) * 0xffff_ffff).toString(16).padStart(32, '0');
    const result = sampleRoot(policy, state, { traceId, nowMs: 5_000 });
    state = result.state;
    if (result.keep) kept += 1;
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

  it('are counted anew each second', () => {
    const full = { second: 5, roots: 10_000 };
    const root = { traceId: 'f'.repeat(32), nowMs: 6_000 };
    expect(sampleRoot(policy, full, root).keep).toBe(true);
    expect(sampleRoot(policy, full, { ...root, nowMs: 5_999 }).keep).toBe(false);
  });
});
