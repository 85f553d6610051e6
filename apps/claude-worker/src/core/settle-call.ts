/**
 * Decides what becomes of a call after one HTTP send.
 *
 * I1 Only a whole message with a known `stop_reason` succeeds. For a workflow's call any
 *    `stop_reason` will do: what it means to a run, the workflow says.
 * I2 What may have been paid closes as `unknown`; what was refused closes as `failed`.
 * I3 Nothing that happens while the gate is shut counts against the retries, but the call's age
 *    does, so that a call ends even if the gate never stays open. A parked account is exempt: its
 *    calls wait for people.
 * I4 A call that was taken away from its process is sent again at most `redispatchMax` times. One
 *    that its process put back when it stopped is not counted, within the call's age: deployments
 *    are no faults. With a `redispatchMax` of 0 nothing that may have been paid is sent again.
 * I5 A wish to cancel goes before the job's `complete_by`, whichever ends the run.
 */
import { assertNever, type ErrorCode } from '@millrace/contracts';

import { backoffMs, retriesMax } from './backoff.ts';
import { type Call, leftAtDispatchMs } from './call.ts';
import { type AnswerSource, type ClaudeAnswer, noSource } from './claude-answer.ts';
import { type ClaudeMessage, isFields } from './claude-message.ts';
import { classifyAnswer } from './classify.ts';
import { type Gate, isShut } from './gate.ts';

/** How the attempt that was just made is told. */
export interface ClosedAttempt {
  readonly outcome: 'succeeded' | 'failed' | 'unknown';
  readonly code: string | null;
  readonly source: AnswerSource;
}

export type Settlement =
  | {
      readonly kind: 'succeeded';
      readonly message: ClaudeMessage;
      readonly attempt: ClosedAttempt;
    }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly detail: string;
      /** Claude's answer where it gave one that is no success. */
      readonly message: ClaudeMessage | null;
      /** Null when nothing was sent. */
      readonly attempt: ClosedAttempt | null;
      readonly deadLetter: boolean;
    }
  /** `attempt` is null when nothing was sent. */
  | { readonly kind: 'cancelled'; readonly attempt: ClosedAttempt | null }
  /** `complete_by` has passed. `attempt` is null when nothing was sent. */
  | { readonly kind: 'expired'; readonly attempt: ClosedAttempt | null }
  | {
      readonly kind: 'again';
      readonly delayMs: number;
      /** `no_attempt`: it is not even written down as one. */
      readonly counts: 'failure' | 'redispatch' | 'nothing' | 'no_attempt';
      readonly attempt: ClosedAttempt;
    }
  /** Nothing was sent: the row goes back as it was, without this attempt. */
  | { readonly kind: 'unsent'; readonly delayMs: number };

export interface SettleInput {
  readonly call: Call;
  readonly answer: ClaudeAnswer;
  /** The gate after this answer was observed. */
  readonly gate: Gate;
  /** On the clock of the gate. */
  readonly nowMs: number;
  /** Since the call came in. */
  readonly ageMs: number;
  /** From 0 to 1. */
  readonly random: number;
  readonly limits: SettleLimits;
}

export interface SettleLimits {
  readonly retryBaseMs: number;
  readonly redispatchMax: number;
}

/** How long a call may live on answers that are no attempts. Kafka keeps its request longer. */
export const callAgeMsMax = 24 * 3_600_000;
/** A failure's `retry-after` holds its call back no longer: that is what retries are for. */
const failureWaitMsMax = 3_600_000;
/** Characters of an error's detail that are told. */
const detailLengthMax = 500;

const successes: readonly string[] = [
  'end_turn',
  'max_tokens',
  'stop_sequence',
  'tool_use',
  'model_context_window_exceeded',
];

export function settleCall(input: SettleInput): Settlement {
  const { answer } = input;
  switch (answer.kind) {
    case 'message':
      return settleMessage(input.call, answer.message, answer.source);
    case 'error':
    case 'unreachable':
    case 'cut':
      return settleFailure(input, answer);
    case 'interrupted':
      return settleOwnEnd(input, answer.by);
    case 'unsent':
      return { kind: 'unsent', delayMs: answer.retryInMs };
    case 'unsendable':
      return failure(answer.code, answer.detail, null);
    default:
      return assertNever(answer);
  }
}

type Interrupter = Extract<ClaudeAnswer, { kind: 'interrupted' }>['by'];

function settleOwnEnd(input: SettleInput, by: Interrupter): Settlement {
  const { ageMs, call, limits } = input;
  if (by === 'cancel') {
    return { kind: 'cancelled', attempt: closed('unknown', 'cancelled', noSource) };
  }
  if (by === 'expiry') {
    return { kind: 'expired', attempt: closed('unknown', 'deadline_exceeded', noSource) };
  }
  if (by === 'stop' && limits.redispatchMax > 0 && ageMs < callAgeMsMax) {
    const attempt = closed('unknown', 'interrupted', noSource);
    return { kind: 'again', delayMs: 0, counts: 'nothing', attempt };
  }
  return settleInterrupted(call, limits);
}

/** How a call ends without this attempt being sent; null when it may be sent. I5 */
export function settleUnsent(call: Call): Settlement | null {
  if (call.cancelRequested) return { kind: 'cancelled', attempt: null };
  if (leftAtDispatchMs(call) <= 0) return { kind: 'expired', attempt: null };
  return call.unreadable.length > 0 ? unread(call, null) : null;
}

/** A call whose process went away: nobody knows whether its attempt was paid. */
export function settleInterrupted(call: Call, limits: SettleLimits): Settlement {
  if (call.cancelRequested) {
    return { kind: 'cancelled', attempt: closed('unknown', 'cancelled', noSource) };
  }
  // It was taken only to be ended.
  if (leftAtDispatchMs(call) <= 0) return { kind: 'expired', attempt: null };
  const attempt = closed('unknown', 'interrupted', noSource);
  if (call.unreadable.length > 0) return unread(call, attempt);
  if (call.redispatches < limits.redispatchMax) {
    return { kind: 'again', delayMs: 0, counts: 'redispatch', attempt };
  }
  const detail = `attempt ${call.attempt} was cut off with its process and may have been paid`;
  return failure('outcome_unknown', detail, attempt);
}

/** Whatever is tried again would read the same. */
function unread({ unreadable }: Call, attempt: ClosedAttempt | null): Settlement {
  return failure('internal', `the stored ${unreadable.join(', ')} cannot be read`, attempt);
}

function settleMessage(
  { reply }: Call,
  message: ClaudeMessage,
  source: AnswerSource,
): Settlement {
  const stopReason = message.stop_reason ?? 'null';
  const isAnswer = reply.kind === 'workflow' && message.stop_reason !== null;
  if (isAnswer || successes.includes(stopReason)) {
    return { kind: 'succeeded', message, attempt: closed('succeeded', null, source) };
  }
  if (stopReason === 'refusal') {
    const attempt = closed('failed', 'refusal', source);
    return { ...failure('refusal', refusalDetail(message), attempt), message };
  }
  const attempt = closed('failed', 'unknown_stop_reason', source);
  const detail = `stop_reason ${stopReason} is not one that ends a job`;
  return { ...failure('unknown_stop_reason', detail, attempt), message };
}

type FailedAnswer = Extract<ClaudeAnswer, { kind: 'error' | 'unreachable' | 'cut' }>;

function settleFailure(input: SettleInput, answer: FailedAnswer): Settlement {
  const attempt = closedFailure(answer);
  const verdict = classifyAnswer(answer);
  switch (verdict?.action) {
    case 'fail':
      return failure('rejected_by_claude', detailOf(answer), attempt);
    case 'park':
      return { kind: 'again', delayMs: 0, counts: 'nothing', attempt };
    case 'gate':
      return notCounted(input, attempt, { waitMs: verdict.retryAfterMs ?? 0, as: 'no_attempt' });
    case 'retry':
      if (isShut(input.gate, input.nowMs)) {
        return notCounted(input, attempt, { waitMs: 0, as: 'nothing' });
      }
      return retry(input, answer, verdict.retryAfterMs ?? 0);
    case undefined:
      throw new TypeError(`an answer of kind ${answer.kind} has no verdict`);
    default:
      return assertNever(verdict);
  }
}

/** No attempt: the call waits for the gate, within its age (I3). */
function notCounted(
  input: SettleInput,
  attempt: ClosedAttempt,
  { as, waitMs }: { readonly as: 'nothing' | 'no_attempt'; readonly waitMs: number },
): Settlement {
  const { ageMs, gate, nowMs, random, limits } = input;
  if (gate.kind !== 'parked' && ageMs + waitMs >= callAgeMsMax) {
    return tooOld(attempt);
  }
  return {
    kind: 'again',
    // Later than the next probe, so that another call is the next one to try.
    delayMs: Math.round(Math.max(waitMs, gateWaitMs(gate, nowMs)) + random * limits.retryBaseMs),
    counts: as,
    attempt,
  };
}

function gateWaitMs(gate: Gate, nowMs: number): number {
  switch (gate.kind) {
    case 'open':
      return 0;
    case 'rate_limited':
      return Math.max(0, gate.untilMs - nowMs);
    case 'unhealthy':
    case 'parked':
      return Math.max(0, gate.nextProbeAtMs - nowMs);
    default:
      return assertNever(gate);
  }
}

function retry(input: SettleInput, answer: FailedAnswer, retryAfterMs: number): Settlement {
  const attempt = closedFailure(answer);
  const { ageMs, call, random, limits } = input;
  const failures = call.failures + 1;
  if (failures > retriesMax) {
    const detail = `${failures} attempts failed, the last with: ${detailOf(answer)}`;
    return { ...failure('retries_exhausted', detail, attempt), deadLetter: true };
  }
  const backMs = backoffMs(failures, random, limits.retryBaseMs);
  const askedMs = Math.min(retryAfterMs, failureWaitMsMax);
  // I3: a wait that the server asks for counts as time without an answer.
  if (askedMs > backMs && ageMs + askedMs >= callAgeMsMax) return tooOld(attempt);
  return { kind: 'again', delayMs: Math.max(backMs, askedMs), counts: 'failure', attempt };
}

function tooOld(attempt: ClosedAttempt): Settlement {
  const detail = `no answer within ${callAgeMsMax / 3_600_000} hours`;
  return failure('deadline_exceeded', detail, attempt);
}

type Failure = Extract<Settlement, { kind: 'failed' }>;

function failure(code: ErrorCode, detail: string, attempt: ClosedAttempt | null): Failure {
  const told = detail.slice(0, detailLengthMax);
  return { kind: 'failed', code, detail: told, message: null, attempt, deadLetter: false };
}

function closed(
  outcome: ClosedAttempt['outcome'],
  code: string | null,
  source: AnswerSource,
): ClosedAttempt {
  return { outcome, code, source };
}

function closedFailure(answer: FailedAnswer): ClosedAttempt {
  switch (answer.kind) {
    case 'error': {
      const { errorCode, type, httpStatus } = answer.error;
      const code = errorCode ?? type ?? `http_${httpStatus ?? 'stream'}`;
      // An error inside a stream comes after tokens were made. I2
      return closed(httpStatus === null ? 'unknown' : 'failed', code, answer.source);
    }
    case 'unreachable':
      return closed('failed', answer.code, noSource);
    case 'cut':
      return closed('unknown', answer.reason, answer.source);
    default:
      return assertNever(answer);
  }
}

function detailOf(answer: FailedAnswer): string {
  switch (answer.kind) {
    case 'error':
      return `${answer.error.httpStatus ?? 'stream'} ${answer.error.detail}`;
    case 'unreachable':
      return `Claude cannot be reached (${answer.code})`;
    case 'cut':
      return `the answer was cut off (${answer.reason})`;
    default:
      return assertNever(answer);
  }
}

function refusalDetail(message: ClaudeMessage): string {
  const details = message['stop_details'];
  if (!isFields(details)) return 'Claude declined to answer';
  const category = typeof details['category'] === 'string' ? details['category'] : 'none';
  const explanation = details['explanation'];
  return typeof explanation === 'string' ? `${category}: ${explanation}` : `category ${category}`;
}
