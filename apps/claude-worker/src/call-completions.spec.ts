import { describe, expect, it } from '@jest/globals';
import { IdentityPayloadCodec, jobFinishedSchema, topics } from '@millrace/contracts';
import { decodeEvent } from '@millrace/kafka';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { CallCompletions } from './call-completions.ts';
import { firstAttempt } from './core/call.ts';
import type { ClaudeMessage } from './core/claude-message.ts';
import { sampleCallRequest } from './core/sample-call.ts';
import type { Settlement } from './core/settle-call.ts';

const call = firstAttempt(sampleCallRequest, 'owner', 0);
const source = { httpStatus: 200, requestId: 'req_1', standIn: false };

function nested(levels: number): unknown {
  return JSON.parse('['.repeat(levels) + ']'.repeat(levels));
}

function answer(input: unknown, usage: unknown = { input_tokens: 1, output_tokens: 2 }) {
  const content = [{ type: 'tool_use', id: 'toolu_1', name: 'f', input }];
  return { type: 'message', content, stop_reason: 'tool_use', usage };
}

/** What is written of an answer, as a consumer reads it. */
async function completionOf(message: ClaudeMessage) {
  const kept: string[] = [];
  const blobs = {
    put: (_tenant: string, id: string) => {
      kept.push(id);
      return Promise.resolve();
    },
    get: () => Promise.resolve(null),
  };
  const completions = new CallCompletions({ blobs, codec: new IdentityPayloadCodec() });
  const attempt = { outcome: 'succeeded', code: null, source } as const;
  const { next } = await completions.entryOf({
    call,
    settlement: { kind: 'succeeded', message, attempt },
    endedAtMs: 1_000,
    context: ROOT_CONTEXT,
    turn: [],
  });
  if (next.kind !== 'ended' || next.finished.value === null) throw new TypeError('no end');
  const { headers, value } = next.finished;
  const read = decodeEvent(topics.jobsFinished, { headers, value }, (body) => body);
  if (read.kind === 'bad') throw new TypeError(read.detail);
  return { next, kept, data: jobFinishedSchema.parse(read.data) };
}

describe('a completion', () => {
  it('carries a message as deep as an event may be', async () => {
    // The event, the message, its content and the block are the four levels around it.
    const { data, kept } = await completionOf(answer(nested(60)));
    expect(data.message).toBeDefined();
    expect(kept).toEqual([]);
  });

  it('refers to a message that is deeper', async () => {
    const { data, kept } = await completionOf(answer(nested(61)));
    expect(data).toMatchObject({ status: 'succeeded', message_ref: kept[0] });
    expect(data.message).toBeUndefined();
  });

  it('is one that its consumers take, whatever usage is told', async () => {
    const usage = {
      input_tokens: 1,
      output_tokens: 2,
      cache_read_input_tokens: -1,
      deep: nested(70),
    };
    const { data } = await completionOf(answer({}, usage));
    expect(data).toMatchObject({ status: 'succeeded', usage: { input_tokens: 1 } });
  });

  it('fails the job when it cannot be told, and keeps the request', async () => {
    const { data, next } = await completionOf(answer(nested(2_000)));
    expect(data).toMatchObject({ status: 'failed', error: { code: 'internal' } });
    expect(next).toMatchObject({ state: 'FAILED', turn: null });
    expect(next.deadLetter).not.toBeNull();
  });
});

describe('an attempt', () => {
  it('is written down, but for a 429', async () => {
    const blobs = { put: () => Promise.resolve(), get: () => Promise.resolve(null) };
    const completions = new CallCompletions({ blobs, codec: new IdentityPayloadCodec() });
    const attempt = { outcome: 'failed', code: 'rate_limit_error', source } as const;
    const written = (counts: 'nothing' | 'no_attempt') => {
      const settlement: Settlement = { kind: 'again', delayMs: 1, counts, attempt };
      const settled = { call, settlement, endedAtMs: 1, context: ROOT_CONTEXT, turn: null };
      return completions.entryOf(settled);
    };
    expect((await written('no_attempt')).attempt).toBeNull();
    expect((await written('nothing')).attempt).toEqual(attempt);
  });
});
