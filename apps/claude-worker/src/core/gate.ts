/**
 * The gate before the account: says how many calls may go now.
 *
 * I1 While it is shut at most one call goes, the probe, and never before its time.
 * I2 After a 429 nothing goes until `retry-after`. Then 1, 2, 4, … calls go, a step apart, until
 *    as many went as may be waiting: all at once they would only meet the same limit. Steps are of
 *    time and wait for no answer, which may take an hour.
 * I3 Of an unhealthy or parked account only a probe's answer opens the gate.
 * I4 Nothing that fails while the gate is shut is an attempt (asked of `isShut` by the shell).
 */
import { assertNever } from '@millrace/contracts';

import type { Verdict } from './classify.ts';
import { retryAfterMsMax } from './retry-after.ts';

/** Calls that are looked back on, and how many failures among them shut the gate. */
const windowCalls = 20;
const windowFailuresMax = windowCalls / 2;
const windowMask = 2 ** windowCalls - 1;
/** Delays between probes, in units of the first retry's delay: 1 to 30 s in production. */
const probeDelayUnitsMax = 30;
const parkedProbeUnits = 30;
/** How long a 429 without `retry-after` shuts the gate, in the same units. */
const rateLimitedUnits = 5;
/** After so many steps of one unit each the gate is open again: the last one lets 512 go. */
const rampSteps = 10;

export type Gate =
  /** `recent`: one bit for each of the last calls, 1 for a failure. */
  | { readonly kind: 'open'; readonly recent: number }
  | {
      readonly kind: 'rate_limited';
      readonly untilMs: number;
      /** Calls that went since then. */
      readonly sent: number;
      readonly stepMs: number;
      /** As of an open gate, since then. */
      readonly recent: number;
    }
  | {
      readonly kind: 'unhealthy' | 'parked';
      readonly probesFailed: number;
      readonly nextProbeAtMs: number;
      /** The call that is out as a probe. */
      readonly probe: string | null;
    };

export const openGate: Gate = { kind: 'open', recent: 0 };

/** What one call's end says about the account. */
export type Observation =
  | { readonly kind: 'answered' }
  | { readonly kind: 'unhealthy' }
  | { readonly kind: 'rate_limited'; readonly retryAfterMs: number | null }
  | { readonly kind: 'parked' }
  /** It says nothing: not sent, or ended by ourselves. */
  | { readonly kind: 'nothing' };

/** @param verdict null when Claude answered with a message, undefined when it was not asked. */
export function observationOf(verdict: Verdict | null | undefined): Observation {
  if (verdict === undefined) return { kind: 'nothing' };
  if (verdict === null) return { kind: 'answered' };
  switch (verdict.action) {
    case 'fail':
      return { kind: 'answered' };
    case 'park':
      return { kind: 'parked' };
    case 'gate':
      return { kind: 'rate_limited', retryAfterMs: verdict.retryAfterMs };
    case 'retry':
      return verdict.unhealthy ? { kind: 'unhealthy' } : { kind: 'answered' };
    default:
      return assertNever(verdict);
  }
}

export type Admission =
  | { readonly kind: 'all' }
  | { readonly kind: 'probe' }
  | { readonly kind: 'some'; readonly calls: number; readonly moreInMs: number }
  | { readonly kind: 'none'; readonly retryInMs: number };

/** How many calls may be claimed now. */
export function admission(gate: Gate, nowMs: number): Admission {
  switch (gate.kind) {
    case 'open':
      return { kind: 'all' };
    case 'rate_limited':
      return rampAdmission(gate, nowMs);
    case 'unhealthy':
    case 'parked': {
      if (gate.probe === null && nowMs >= gate.nextProbeAtMs) return { kind: 'probe' };
      return { kind: 'none', retryInMs: Math.max(gate.nextProbeAtMs - nowMs, probePollMs) };
    }
    default:
      return assertNever(gate);
  }
}

type RampedGate = Extract<Gate, { kind: 'rate_limited' }>;

/** I2 */
function rampAdmission(gate: RampedGate, nowMs: number): Admission {
  const { sent, stepMs, untilMs } = gate;
  if (nowMs < untilMs) return { kind: 'none', retryInMs: untilMs - nowMs };
  const step = Math.floor((nowMs - untilMs) / stepMs);
  if (step >= rampSteps) return { kind: 'all' };
  const moreInMs = untilMs + (step + 1) * stepMs - nowMs;
  const calls = 2 ** (step + 1) - 1 - sent;
  return calls > 0 ? { kind: 'some', calls, moreInMs } : { kind: 'none', retryInMs: moreInMs };
}

/** The gate at this time: the one after a 429 opens by itself. */
export function gateAt(gate: Gate, nowMs: number): Gate {
  if (gate.kind !== 'rate_limited') return gate;
  const isOver = rampAdmission(gate, nowMs).kind === 'all';
  return isOver ? { kind: 'open', recent: gate.recent } : gate;
}

/** While a probe is out its end wakes the queue; this only bounds a wake-up that got lost. */
const probePollMs = 1_000;

/** Whether a claimed call may be sent now: the gate may have shut since it was claimed. */
export function maySend(gate: Gate, callId: string, nowMs: number): boolean {
  if (gate.kind === 'open') return true;
  if (gate.kind === 'rate_limited') return rampAdmission(gate, nowMs).kind !== 'none';
  return gate.probe === callId;
}

export function isShut(gate: Gate, nowMs: number): boolean {
  return gate.kind === 'rate_limited' ? nowMs < gate.untilMs : gate.kind !== 'open';
}

/** Counts a call that goes, for a gate that lets only some go. */
export function startCall(gate: Gate): Gate {
  return gate.kind === 'rate_limited' ? { ...gate, sent: gate.sent + 1 } : gate;
}

/** Sends a call out as the probe. */
export function startProbe(gate: Gate, callId: string): Gate {
  return gate.kind === 'unhealthy' || gate.kind === 'parked' ? { ...gate, probe: callId } : gate;
}

export interface GateInput {
  readonly callId: string;
  readonly observation: Observation;
  readonly nowMs: number;
  /** Delay of the first retry, the unit of the gate's own delays. */
  readonly unitMs: number;
}

/** The gate after a call's end. */
export function observe(gate: Gate, input: GateInput): Gate {
  const { observation, nowMs, unitMs } = input;
  switch (observation.kind) {
    case 'rate_limited': {
      const delayMs = observation.retryAfterMs ?? rateLimitedUnits * unitMs;
      const untilMs = nowMs + Math.min(delayMs, retryAfterMsMax);
      if (gate.kind === 'parked' && gate.probe !== input.callId) return gate; // I3
      return {
        kind: 'rate_limited',
        untilMs: gate.kind === 'rate_limited' ? Math.max(gate.untilMs, untilMs) : untilMs,
        sent: 0,
        stepMs: unitMs,
        recent: 0,
      };
    }
    case 'parked': {
      if (gate.kind === 'parked' && gate.probe !== input.callId) return gate;
      const probesFailed = gate.kind === 'parked' ? gate.probesFailed + 1 : 0;
      const nextProbeAtMs = nowMs + parkedProbeUnits * unitMs;
      return { kind: 'parked', probesFailed, nextProbeAtMs, probe: null };
    }
    case 'answered':
      return answered(gate, input);
    case 'unhealthy':
      return failed(gate, input);
    case 'nothing':
      return isProbe(gate, input.callId) ? { ...gate, probe: null } : gate;
    default:
      return assertNever(observation);
  }
}

type ProbedGate = Extract<Gate, { probe: string | null }>;

function isProbe(gate: Gate, callId: string): gate is ProbedGate {
  return (gate.kind === 'unhealthy' || gate.kind === 'parked') && gate.probe === callId;
}

function answered(gate: Gate, input: GateInput): Gate {
  if (gate.kind === 'rate_limited' && isShut(gate, input.nowMs)) return gate;
  if ('recent' in gate) return { ...gate, recent: (gate.recent << 1) & windowMask };
  return isProbe(gate, input.callId) ? openGate : gate; // I3
}

function failed(gate: Gate, input: GateInput): Gate {
  const { nowMs, unitMs } = input;
  if (gate.kind === 'rate_limited' && isShut(gate, nowMs)) return gate;
  if ('recent' in gate) {
    const recent = ((gate.recent << 1) | 1) & windowMask;
    if (failuresIn(recent) < windowFailuresMax) return { ...gate, recent };
    return { kind: 'unhealthy', probesFailed: 0, nextProbeAtMs: nowMs + unitMs, probe: null };
  }
  if (!isProbe(gate, input.callId)) return gate;
  const probesFailed = gate.probesFailed + 1;
  const units =
    gate.kind === 'parked'
      ? parkedProbeUnits
      : Math.min(2 ** Math.min(probesFailed, 10), probeDelayUnitsMax);
  return { ...gate, probesFailed, nextProbeAtMs: nowMs + units * unitMs, probe: null };
}

function failuresIn(recent: number): number {
  let failures = 0;
  for (let bits = recent; bits !== 0; bits &= bits - 1) failures += 1;
  return failures;
}
