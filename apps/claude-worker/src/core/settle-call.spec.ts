import { describe, expect, it } from '@jest/globals';
import { type JobReply, sessionIdSchema } from '@millrace/contracts';

import { type Call, firstAttempt } from './call.ts';
import type { AnswerSource, ClaudeAnswer } from './claude-answer.ts';
import type { ClaudeMessage } from './claude-message.ts';
import { type Gate, openGate } from './gate.ts';
import { isEnding, jobFinished } from './job-finished.ts';
import { sampleCallRequest, sampleWorkflowReply } from './sample-call.ts';
import { isCutInToolUse, sessionBytesMax, turnMessages, withHistory } from './session-history.ts';
import {
  callAgeMsMax,
  settleCall,
  settleInterrupted,
  type SettleLimits,
  settleUnsent,
} from './settle-call.ts';

const source: AnswerSource = { httpStatus: 200, requestId: 'req_1', standIn: false };
const limits = { retryBaseMs: 1_000, redispatchMax: 1 };
const hourMs = 3_600_000;

const call: Call = firstAttempt(sampleCallRequest, 'owner', 0);
const reply: JobReply = { kind: 'job', created_at: '2026-11-23T10:00:00.000Z' };

function message(fields: Partial<ClaudeMessage> = {}): ClaudeMessage {
  return {
    type: 'message',
    model: 'claude-sonnet-5-5',
    content: [{ type: 'text', text: 'a' }, { type: 'tool_use' }, { type: 'text', text: 'b' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 1, output_tokens: 2 },
    ...fields,
  };
}

function answered(fields: Partial<ClaudeMessage> = {}): ClaudeAnswer {
  return { kind: 'message', message: message(fields), source };
}

function refused(httpStatus: number, retryAfterMs: number | null = null): ClaudeAnswer {
  const error = { httpStatus, type: null, errorCode: null, retryAfterMs, detail: 'no' };
  return { kind: 'error', error, source: { ...source, httpStatus } };
}

const cut: ClaudeAnswer = { kind: 'cut', reason: 'answer_truncated', source };

function rateLimited(untilMs: number): Gate {
  return { kind: 'rate_limited', untilMs, sent: 0, stepMs: 1_000, recent: 0 };
}

interface Given {
  readonly call?: Partial<Call>;
  readonly gate?: Gate;
  readonly ageMs?: number;
  readonly limits?: SettleLimits;
}

function settle(answer: ClaudeAnswer, given: Given = {}) {
  return settleCall({
    call: { ...call, ...given.call },
    answer,
    gate: given.gate ?? openGate,
    nowMs: 0,
    ageMs: given.ageMs ?? 0,
    random: 0,
    limits: given.limits ?? limits,
  });
}

describe('a message', () => {
  it.each(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'model_context_window_exceeded'])(
    'with the stop_reason %s is a success',
    (stopReason) => {
      expect(settle(answered({ stop_reason: stopReason })).kind).toBe('succeeded');
    },
  );

  it.each(['end_turn', 'tool_use', 'refusal', 'pause_turn', 'something_new'])(
    "with the stop_reason %s is an answer to a workflow's call",
    (stopReason) => {
      const given = { call: { reply: sampleWorkflowReply } };
      expect(settle(answered({ stop_reason: stopReason }), given).kind).toBe('succeeded');
      expect(settle(answered({ stop_reason: null }), given)).toMatchObject({
        kind: 'failed',
        code: 'unknown_stop_reason',
      });
    },
  );

  it.each([
    ['refusal', 'refusal'],
    ['pause_turn', 'unknown_stop_reason'],
    ['something_new', 'unknown_stop_reason'],
    [null, 'unknown_stop_reason'],
  ])('with the stop_reason %p fails with %s, with the message', (stopReason, code) => {
    expect(settle(answered({ stop_reason: stopReason }))).toMatchObject({
      kind: 'failed',
      code,
      message: { stop_reason: stopReason },
      attempt: { outcome: 'failed' },
      deadLetter: false,
    });
  });
});

describe('a failure', () => {
  it('is retried five times, then the job has failed', () => {
    const delays = [0, 1, 2, 3, 4].map((failures) => settle(refused(500), { call: { failures } }));
    expect(delays.map((again) => (again.kind === 'again' ? again.delayMs : null))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000,
    ]);
    expect(settle(refused(500), { call: { failures: 5 } })).toMatchObject({
      kind: 'failed',
      code: 'retries_exhausted',
      deadLetter: true,
    });
  });

  it('waits as long as the server asks, when that is longer', () => {
    expect(settle(refused(529, 9_000))).toMatchObject({ delayMs: 9_000, counts: 'failure' });
    expect(settle(refused(529, 10))).toMatchObject({ delayMs: 1_000, counts: 'failure' });
  });

  it('is not held back for days by the server', () => {
    const days = 3 * 24 * hourMs;
    expect(settle(refused(503, days))).toMatchObject({ kind: 'again', delayMs: hourMs });
    expect(settle(refused(503, days), { ageMs: callAgeMsMax - hourMs })).toMatchObject({
      kind: 'failed',
      code: 'deadline_exceeded',
    });
    expect(settle(refused(503), { ageMs: 2 * callAgeMsMax })).toMatchObject({ kind: 'again' });
  });

  it('is unknown when it may have been paid, failed when it was refused', () => {
    expect(settle(cut)).toMatchObject({ attempt: { outcome: 'unknown' } });
    expect(settle(refused(500))).toMatchObject({ attempt: { outcome: 'failed' } });
    expect(settle({ kind: 'unreachable', code: 'ECONNREFUSED' })).toMatchObject({
      attempt: { outcome: 'failed', code: 'ECONNREFUSED' },
    });
  });

  it('is no attempt while the gate is shut, until the call is too old', () => {
    const gate: Gate = { kind: 'unhealthy', probesFailed: 0, nextProbeAtMs: 4_000, probe: null };
    expect(settle(refused(500), { gate, call: { failures: 5 } })).toMatchObject({
      kind: 'again',
      counts: 'nothing',
      delayMs: 4_000,
    });
    expect(settle(refused(500), { gate, ageMs: callAgeMsMax })).toMatchObject({
      kind: 'failed',
      code: 'deadline_exceeded',
    });
  });

  it('waits for people while the account is parked, however old the call', () => {
    const gate: Gate = { kind: 'parked', probesFailed: 0, nextProbeAtMs: 30_000, probe: null };
    const given = { gate, ageMs: 2 * callAgeMsMax };
    expect(settle(refused(401), given)).toMatchObject({ kind: 'again', counts: 'nothing' });
    expect(settle(cut, given)).toMatchObject({ kind: 'again', counts: 'nothing' });
  });

  it('is no attempt when it came too fast', () => {
    const gate = rateLimited(7_000);
    expect(settle(refused(429, 7_000), { gate })).toMatchObject({
      kind: 'again',
      counts: 'no_attempt',
      delayMs: 7_000,
    });
  });
});

describe('a call that was interrupted', () => {
  it('is sent again as often as it may be, then nobody knows', () => {
    expect(settleInterrupted(call, limits)).toMatchObject({
      kind: 'again',
      counts: 'redispatch',
      delayMs: 0,
    });
    expect(settleInterrupted({ ...call, redispatches: 1 }, limits)).toMatchObject({
      kind: 'failed',
      code: 'outcome_unknown',
      attempt: { outcome: 'unknown' },
    });
    expect(settleInterrupted(call, { ...limits, redispatchMax: 0 }).kind).toBe('failed');
  });

  it('fails when what is stored of it cannot be read, unless it was to end anyhow', () => {
    const broken: Call = { ...call, dispatchedAtMs: 10, unreadable: ['params', 'reply'] };
    const failed = {
      kind: 'failed',
      code: 'internal',
      detail: 'the stored params, reply cannot be read',
      deadLetter: false,
    };
    expect(settleUnsent(broken)).toMatchObject({ ...failed, attempt: null });
    const interrupted = { outcome: 'unknown', code: 'interrupted' };
    expect(settleInterrupted(broken, limits)).toMatchObject({ ...failed, attempt: interrupted });
    for (const settle of [settleUnsent, (it: Call) => settleInterrupted(it, limits)]) {
      expect(settle({ ...broken, cancelRequested: true })?.kind).toBe('cancelled');
      expect(settle({ ...broken, expiresAtMs: 10 })?.kind).toBe('expired');
    }
  });

  it('may be sent again after any number of stops, while it is young', () => {
    const stop: ClaudeAnswer = { kind: 'interrupted', by: 'stop' };
    const given = { call: { redispatches: 1 } };
    expect(settle(stop, given)).toMatchObject({
      kind: 'again',
      counts: 'nothing',
      attempt: { outcome: 'unknown', code: 'interrupted' },
    });
    const unknown = { kind: 'failed', code: 'outcome_unknown' };
    expect(settle(stop, { ...given, ageMs: callAgeMsMax })).toMatchObject(unknown);
    expect(settle(stop, { limits: { ...limits, redispatchMax: 0 } })).toMatchObject(unknown);
  });

  it('ends when it was cancelled', () => {
    expect(settle({ kind: 'interrupted', by: 'cancel' }).kind).toBe('cancelled');
  });
});

describe('a call with a complete_by', () => {
  const unsent = { kind: 'expired', attempt: null };

  it.each([
    ['has time left', { expiresAtMs: 11 }, null],
    ['has none', { expiresAtMs: null }, null],
    ['came too late', { expiresAtMs: 10 }, unsent],
    ['came much too late', { expiresAtMs: -10 }, unsent],
    [
      'was cancelled before',
      { expiresAtMs: 0, cancelRequested: true },
      { kind: 'cancelled', attempt: null },
    ],
  ])('is sent, or ends as it has to: one that %s', (_what, fields, expected) => {
    expect(settleUnsent({ ...call, dispatchedAtMs: 10, ...fields })).toEqual(expected);
  });

  it('has an attempt that may have been paid, when it was cut off', () => {
    const settlement = settle({ kind: 'interrupted', by: 'expiry' });
    expect(settlement).toMatchObject({
      kind: 'expired',
      attempt: { outcome: 'unknown', code: 'deadline_exceeded' },
    });
    if (!isEnding(settlement)) throw new TypeError('it has not ended');
    const end = { call, ending: settlement, finishedAtMs: 5, messageRef: null };
    const done = jobFinished(end, reply);
    expect(done).toMatchObject({ status: 'expired', error: { code: 'deadline_exceeded' } });
    expect(done.attempts).toHaveLength(1);
  });

  it('waits for its next attempt as any other: its time ends it there', () => {
    expect(settle(refused(500), { call: { expiresAtMs: 1 } }).kind).toBe('again');
  });

  it('that was only taken to be ended was not sent by a process that went away', () => {
    expect(settleInterrupted({ ...call, expiresAtMs: 0 }, limits)).toEqual(unsent);
    expect(settleInterrupted({ ...call, expiresAtMs: 1 }, limits).kind).toBe('again');
  });
});

describe('the completion', () => {
  it('tells the text, the message, the usage and every attempt', () => {
    const ending = settle(answered());
    if (!isEnding(ending)) throw new TypeError('it has not ended');
    const first = {
      number: 1,
      outcome: 'failed' as const,
      started_at: '1970-01-01T00:00:00.000Z',
      ended_at: '1970-01-01T00:00:00.000Z',
    };
    const again = { ...call, attempt: 2, closedAttempts: [first] };
    const done = jobFinished(
      { call: again, ending, finishedAtMs: 1_500, messageRef: null },
      reply,
    );
    expect(done).toMatchObject({
      status: 'succeeded',
      result: 'ab',
      usage: { input_tokens: 1, output_tokens: 2 },
      attempts: [{ number: 1 }, { number: 2, outcome: 'succeeded', request_id: 'req_1' }],
      finished_at: '1970-01-01T00:00:01.500Z',
    });
    const byReference = jobFinished(
      { call, ending, finishedAtMs: 0, messageRef: 'blob_x' },
      reply,
    );
    expect(byReference).toMatchObject({ message_ref: 'blob_x' });
    expect(byReference.result).toBeUndefined();
    expect(byReference.message).toBeUndefined();
  });
});

describe('a conversation', () => {
  it.each([
    ['max_tokens', ['text', 'tool_use'], true],
    ['model_context_window_exceeded', ['tool_use'], true],
    ['refusal', ['tool_use'], true],
    ['tool_use', ['tool_use', 'tool_use'], false],
    ['pause_turn', ['tool_use'], false],
    ['max_tokens', ['tool_use', 'text'], false],
    ['pause_turn', ['server_tool_use'], false],
    ['max_tokens', [], false],
  ])('%s after %j: cut off while it asked for a tool: %p', (stopReason, types, isCut) => {
    const content = types.map((type) => ({ type }));
    expect(isCutInToolUse(message({ stop_reason: stopReason, content }))).toBe(isCut);
  });

  const turn = { messages: [{ role: 'user', content: 'and?' }], model: 'm' };

  it('goes before the turn’s own messages', () => {
    const history = [{ role: 'user', content: 'hi' }];
    expect(withHistory(turn, history)).toEqual({
      model: 'm',
      messages: [...history, ...turn.messages],
    });
    expect(withHistory(turn, [])).toBe(turn);
  });

  it('gains the turn and the unmodified answer', () => {
    const { content } = message();
    expect(turnMessages(turn, message())).toEqual([
      ...turn.messages,
      { role: 'assistant', content },
    ]);
    expect(turnMessages(turn, message({ content: [] }))).toEqual(turn.messages);
  });

  it('is bounded', () => {
    expect(sessionBytesMax).toBeLessThan(32 * 1024 * 1024);
    expect(sessionIdSchema.parse('talk')).toBe('talk');
  });
});
