import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  admission,
  type Gate,
  gateAt,
  isShut,
  maySend,
  type Observation,
  observe,
  openGate,
  startCall,
  startProbe,
} from './gate.ts';

const unitMs = 1_000;
const answered: Observation = { kind: 'answered' };
const unhealthy: Observation = { kind: 'unhealthy' };
const parked: Observation = { kind: 'parked' };

function after(gate: Gate, observations: readonly Observation[], nowMs = 0, callId = 'c'): Gate {
  return observations.reduce<Gate>(
    (state, observation) => observe(state, { callId, observation, nowMs, unitMs }),
    gate,
  );
}

function times(n: number, observation: Observation): Observation[] {
  return Array.from({ length: n }, () => observation);
}

describe('the gate', () => {
  it('shuts when half of the last 20 calls failed', () => {
    expect(after(openGate, times(9, unhealthy)).kind).toBe('open');
    expect(after(openGate, times(10, unhealthy)).kind).toBe('unhealthy');
    const mixed = [...times(9, unhealthy), ...times(11, answered), unhealthy];
    expect(after(openGate, mixed).kind).toBe('open');
    expect(after(openGate, [...times(9, unhealthy), ...times(10, answered), unhealthy]).kind).toBe(
      'unhealthy',
    );
  });

  it('probes after 1 s, then less often up to 30 s, and opens on an answer', () => {
    let gate = after(openGate, times(10, unhealthy));
    const delaysS: number[] = [];
    let nowMs = 0;
    for (let i = 0; i < 7; i += 1) {
      const wait = admission(gate, nowMs);
      const inMs = wait.kind === 'none' ? wait.retryInMs : 0;
      delaysS.push(inMs / 1_000);
      nowMs += inMs;
      expect(admission(gate, nowMs)).toEqual({ kind: 'probe' });
      gate = startProbe(gate, 'probe');
      expect(admission(gate, nowMs).kind).toBe('none');
      expect(maySend(gate, 'probe', nowMs)).toBe(true);
      expect(maySend(gate, 'another', nowMs)).toBe(false);
      gate = after(gate, [unhealthy], nowMs, 'probe');
    }
    expect(delaysS).toEqual([1, 2, 4, 8, 16, 30, 30]);
    gate = after(startProbe(gate, 'probe'), [answered], nowMs, 'probe');
    expect(gate).toEqual(openGate);
  });

  it('does not open for an answer to a call that was sent before it shut', () => {
    const gate = after(openGate, times(10, unhealthy));
    expect(after(gate, [answered]).kind).toBe('unhealthy');
    expect(after(after(openGate, [parked]), [answered]).kind).toBe('parked');
  });

  it('obeys retry-after, the latest one', () => {
    const limited = (retryAfterMs: number | null): Observation => ({
      kind: 'rate_limited',
      retryAfterMs,
    });
    const gate = after(openGate, [limited(7_000), limited(3_000), answered, unhealthy]);
    expect(admission(gate, 0)).toEqual({ kind: 'none', retryInMs: 7_000 });
    expect(maySend(gate, 'c', 6_999)).toBe(false);
    expect(admission(gate, 7_000)).toMatchObject({ kind: 'some' });
    expect(maySend(gate, 'c', 7_000)).toBe(true);
    expect(admission(after(openGate, [limited(null)]), 0)).toEqual({
      kind: 'none',
      retryInMs: 5_000,
    });
  });

  it('lets more and more go after a 429, and opens at last', () => {
    const limit: Observation = { kind: 'rate_limited', retryAfterMs: 0 };
    let gate = after(openGate, [limit]);
    const went: number[] = [];
    for (let nowMs = 0; gate.kind !== 'open'; nowMs += unitMs) {
      let calls = 0;
      for (; maySend(gate, 'c', nowMs) && calls < 1_000; calls += 1) gate = startCall(gate);
      went.push(calls);
      expect(admission(gate, nowMs)).toEqual({ kind: 'none', retryInMs: unitMs });
      gate = gateAt(after(gate, [answered], nowMs), nowMs + unitMs);
    }
    expect(went).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    const again = after(startCall(after(openGate, [limit])), [limit], 5_000);
    expect(admission(again, 5_000)).toEqual({ kind: 'some', calls: 1, moreInMs: unitMs });
  });

  it('notices an outage while it lets more and more go', () => {
    const gate = after(openGate, [{ kind: 'rate_limited', retryAfterMs: 0 }]);
    expect(after(gate, times(9, unhealthy)).kind).toBe('rate_limited');
    expect(after(gate, times(10, unhealthy)).kind).toBe('unhealthy');
  });

  it('probes a parked account every 30 s', () => {
    const gate = after(openGate, [parked]);
    expect(admission(gate, 0)).toEqual({ kind: 'none', retryInMs: 30_000 });
    const again = after(startProbe(gate, 'probe'), [parked], 30_000, 'probe');
    expect(admission(again, 30_000)).toEqual({ kind: 'none', retryInMs: 30_000 });
    expect(after(startProbe(again, 'p'), [answered], 60_000, 'p').kind).toBe('open');
  });

  it('takes another probe when one came back without having been sent', () => {
    const gate = startProbe(after(openGate, times(10, unhealthy)), 'probe');
    const released = after(gate, [{ kind: 'nothing' }], 5_000, 'probe');
    expect(admission(released, 5_000)).toEqual({ kind: 'probe' });
  });

  it('never lets more than one call go while it is shut, and always lets one go in the end', () => {
    const observation = fc.oneof(
      fc.constantFrom(answered, unhealthy, parked, { kind: 'nothing' } as const),
      fc.record({
        kind: fc.constant('rate_limited' as const),
        retryAfterMs: fc.option(fc.integer({ min: 0, max: 60_000 })),
      }),
    );
    const step = fc.record({
      observation,
      callId: fc.constantFrom('a', 'b', 'c'),
      waitMs: fc.integer({ min: 0, max: 20_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let gate: Gate = openGate;
        let nowMs = 0;
        for (const { callId, observation: seen, waitMs } of steps) {
          nowMs += waitMs;
          if (admission(gate, nowMs).kind === 'probe') gate = startProbe(gate, callId);
          const allowed = ['a', 'b', 'c'].filter((id) => maySend(gate, id, nowMs));
          expect(allowed.length).toBeLessThanOrEqual(isShut(gate, nowMs) ? 1 : 3);
          gate = observe(gate, { callId, observation: seen, nowMs, unitMs });
        }
        const released = 'probe' in gate && gate.probe !== null ? { ...gate, probe: null } : gate;
        expect(admission(released, nowMs + 24 * 3_600_000).kind).not.toBe('none');
      }),
    );
  });
});
