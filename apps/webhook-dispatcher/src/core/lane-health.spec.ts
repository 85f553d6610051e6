import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  breakerOpenMsFirst,
  breakerOpenMsMax,
  laneAfter,
  memoryOf,
  type LaneAttempt,
  type LaneChange,
  type LaneMemory,
} from './lane-health.ts';
import type { LaneSignal } from './lane-signal.ts';
import { healthyLane } from './lane.ts';

const startMs = Date.UTC(2026, 10, 23, 12);
const success: LaneSignal = { kind: 'success' };
const refusal: LaneSignal = { kind: 'refusal' };
const notReached: LaneSignal = { kind: 'not_reached' };

function failure(changes: Partial<Extract<LaneSignal, { kind: 'failure' }>> = {}): LaneSignal {
  return {
    kind: 'failure',
    timedOut: false,
    overloaded: false,
    blocked: false,
    redirected: false,
    pauseMs: null,
    ...changes,
  };
}

const timeout = failure({ timedOut: true, overloaded: true });

function attempt(changes: Partial<LaneAttempt> = {}): LaneAttempt {
  const nowMs = changes.nowMs ?? startMs;
  return {
    beganAtMs: nowMs - 10,
    nowMs,
    isProbe: false,
    fullCap,
    isEndpoint: false,
    ...changes,
  };
}

/** Of an endpoint that asks for nothing. */
const fullCap = 10;
const fresh = memoryOf({ ...healthyLane, cap: fullCap, fullCap }, undefined);

/** One signal after the other, a second apart. */
function lived(
  signals: readonly (LaneSignal | null)[],
  from: LaneMemory = fresh,
): { memory: LaneMemory; changes: (LaneChange | null)[]; nowMs: number } {
  let memory = from;
  let nowMs = startMs;
  const changes = signals.map((signal) => {
    nowMs += 1_000;
    const turn = laneAfter(memory, signal, attempt({ nowMs }));
    memory = turn.memory;
    return turn.change;
  });
  return { memory, changes, nowMs };
}

const times = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);

describe('a healthy lane', () => {
  it('that delivers writes nothing, and neither does our own fault', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(success, refusal, null)), (signals) => {
        expect(lived(signals).changes.every((change) => change === null)).toBe(true);
      }),
    );
  });

  it('of an endpoint has its last success written once an hour', () => {
    const first = laneAfter(fresh, success, attempt({ isEndpoint: true }));
    expect(first.change).toMatchObject({ succeeded: true, cap: null });
    const later = attempt({ isEndpoint: true, nowMs: startMs + 3_599_999 });
    expect(laneAfter(first.memory, success, later).change).toBeNull();
    const muchLater = attempt({ isEndpoint: true, nowMs: startMs + 3_600_000 });
    expect(laneAfter(first.memory, success, muchLater).change).toMatchObject({ succeeded: true });
  });
});

describe('the breaker', () => {
  it.each([
    ['ten failures', times(10, failure()), true],
    ['nine failures', times(9, failure()), false],
    ['seven failures of ten', [...times(3, success), ...times(7, failure())], true],
    ['six failures of ten', [...times(4, success), ...times(6, failure())], false],
    ['ten that the proxy did not get there', times(10, notReached), true],
    ['nine of them', times(9, notReached), false],
    ['five timeouts in a row', times(5, timeout), true],
    ['four timeouts and a success', [...times(4, timeout), success, timeout], false],
    ['five timeouts with an answer between them', [...times(4, timeout), refusal, timeout], false],
    ['our own faults', times(50, null), false],
    ['refusals', times(50, refusal), false],
  ])('by %s', (_, signals, opens) => {
    const { changes, memory, nowMs } = lived(signals);
    expect(changes.some((change) => change?.close?.why === 'breaker')).toBe(opens);
    expect(memory.openUntilMs > nowMs).toBe(opens);
  });

  it('opens for 30 s, doubling to a quarter of an hour while its probes fail', () => {
    let { memory, nowMs } = lived(times(5, timeout));
    const waits: number[] = [];
    for (let probe = 0; probe < 8; probe += 1) {
      nowMs = memory.openUntilMs + 1;
      const turn = laneAfter(memory, timeout, attempt({ nowMs, isProbe: true }));
      expect(turn.change).toMatchObject({ probeEnded: true, opened: probe + 2 });
      waits.push(turn.change?.close?.forMs ?? 0);
      memory = turn.memory;
    }
    const doubled = waits.map((_, i) =>
      Math.min(breakerOpenMsFirst * 2 ** (i + 1), breakerOpenMsMax),
    );
    expect(waits).toEqual(doubled);
  });

  it.each([
    ['a 2xx', success],
    ['an answer that did not want the message', refusal],
  ])('closes by a probe that gets %s, and forgets what opened it', (_, signal) => {
    const { memory } = lived(times(12, failure()));
    const nowMs = memory.openUntilMs + 1;
    const probe = laneAfter(memory, signal, attempt({ nowMs, isProbe: true }));
    expect(probe.change).toMatchObject({ reopens: true, opened: 0, probeEnded: true, close: null });
    const next = laneAfter(probe.memory, failure(), attempt({ nowMs: nowMs + 1 }));
    expect(next.change?.close).toBeNull();
  });

  it('says that a probe is over although nothing was sent, and stays as it is', () => {
    const { memory } = lived(times(5, timeout));
    const turn = laneAfter(memory, null, attempt({ isProbe: true }));
    expect(turn.change).toMatchObject({ probeEnded: true, reopens: false, failed: false });
    expect(turn.memory).toBe(memory);
  });

  it('is opened longer by a probe that the proxy does not get there', () => {
    const { memory } = lived(times(5, timeout));
    const nowMs = memory.openUntilMs + 1;
    const turn = laneAfter(memory, notReached, attempt({ nowMs, isProbe: true }));
    const close = { forMs: breakerOpenMsFirst * 2, why: 'breaker' };
    expect(turn.change).toMatchObject({ probeEnded: true, opened: 2, close });
    expect(turn.memory.openUntilMs).toBe(nowMs + close.forMs);
  });

  it('is opened once by what was under way together', () => {
    const { changes, memory } = lived([...times(5, timeout), ...times(20, timeout)]);
    expect(changes.filter((change) => change?.close != null)).toHaveLength(1);
    expect(memory.opened).toBe(1);
  });

  it('is never opened by fewer than ten attempts or five timeouts, whatever comes', () => {
    const signals = fc.array(fc.constantFrom(success, refusal, failure(), null), { maxLength: 9 });
    fc.assert(
      fc.property(signals, (given) => {
        expect(lived(given).changes.every((change) => change?.close == null)).toBe(true);
      }),
    );
  });
});

describe('a proxy that does not get there', () => {
  it('is never held against the receiver', () => {
    const signals = fc.array(fc.constantFrom(notReached, success), { maxLength: 200 });
    fc.assert(
      fc.property(signals, (given) => {
        const { changes, memory } = lived(given);
        expect(changes.some((change) => change?.failed === true)).toBe(false);
        expect(memory).toMatchObject({ isFailing: false, cap: fullCap });
      }),
    );
  });

  it('says nothing of timeouts in a row', () => {
    const { memory } = lived([...times(4, timeout), notReached]);
    expect(memory.timeoutsInARow).toBe(4);
  });
});

describe('Retry-After', () => {
  it('closes the lane for so long, and a breaker that opens meanwhile has the longer word', () => {
    const busy = failure({ overloaded: true, pauseMs: 90_000 });
    expect(lived([busy]).changes[0]).toMatchObject({
      close: { forMs: 90_000, why: 'retry_after' },
      failed: true,
    });
    const { changes } = lived([...times(9, failure()), busy]);
    expect(changes.at(-1)?.close).toEqual({ forMs: 90_000, why: 'breaker' });
  });
});

describe('the cap', () => {
  it('is halved once for what was under way together, and never below one', () => {
    let memory = fresh;
    const caps: number[] = [];
    for (let round = 1; round <= 5; round += 1) {
      const nowMs = startMs + round * 10_000;
      for (let i = 0; i < 3; i += 1) {
        const overloaded = failure({ overloaded: true });
        const given = attempt({ nowMs: nowMs + i, beganAtMs: nowMs - 100 });
        ({ memory } = laneAfter(memory, overloaded, given));
      }
      caps.push(memory.cap);
    }
    expect(caps).toEqual([5, 2, 1, 1, 1]);
  });

  it('grows by one with ten successes, and says when it is full again', () => {
    const halved = laneAfter(fresh, failure({ overloaded: true }), attempt()).memory;
    const { changes, memory } = lived(times(50, success), halved);
    expect(memory.cap).toBe(fullCap);
    const told = changes.flatMap((change) => (change?.cap == null ? [] : [change.cap]));
    expect(told).toEqual([6, 7, 8, 9, 'full']);
  });

  it('stays between one and what the endpoint allows', () => {
    const overloaded = failure({ overloaded: true });
    const signals = fc.array(fc.constantFrom(success, overloaded, timeout, refusal, null));
    fc.assert(
      fc.property(signals, fc.integer({ min: 1, max: 50 }), (given, fullCap) => {
        let memory = memoryOf({ ...healthyLane, cap: fullCap, fullCap }, undefined);
        given.forEach((signal, i) => {
          const nowMs = startMs + i * 1_000;
          ({ memory } = laneAfter(memory, signal, attempt({ nowMs, fullCap })));
          expect(memory.cap).toBeGreaterThanOrEqual(1);
          expect(memory.cap).toBeLessThanOrEqual(fullCap);
        });
      }),
    );
  });
});

describe('a failing lane', () => {
  it('is healed by a 2xx, and told so once', () => {
    const { changes } = lived([failure(), success, success]);
    expect(changes).toMatchObject([{ failed: true }, { succeeded: true }, null]);
  });

  it('counts blocked addresses in a row', () => {
    const blocked = failure({ blocked: true });
    const { changes, memory } = lived([blocked, blocked, failure(), blocked]);
    const told = changes.map((change) => change?.blockedInARow);
    expect(told).toEqual(['more', 'more', 'none', 'more']);
    expect(memory.blockedInARow).toBe(1);
  });

  it('takes what its row says above what it has counted', () => {
    const { memory } = lived(times(3, timeout));
    const seen = memoryOf({ ...healthyLane, timeoutsInARow: 4, cap: 3 }, memory);
    expect(seen).toMatchObject({ timeoutsInARow: 4, cap: 3, window: memory.window });
    expect(laneAfter(seen, timeout, attempt()).change?.close?.why).toBe('breaker');
  });
});
