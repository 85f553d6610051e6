import { describe, expect, it } from '@jest/globals';
import {
  callIdSchema,
  claudeCompletedSchema,
  conversationIdSchema,
  IdentityPayloadCodec,
  jobFinishedSchema,
  topics,
} from '@millrace/contracts';
import { decodeEvent } from '@millrace/kafka';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { CallCompletions } from './call-completions.ts';
import { type Call, firstAttempt } from './core/call.ts';
import type { ClaudeMessage } from './core/claude-message.ts';
import { sampleCallRequest, sampleWorkflowReply } from './core/sample-call.ts';
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

/** What is written of an attempt, and what went to blobs. */
async function written(
  settlement: Settlement,
  { of = call, turn = [] }: { of?: Call; turn?: readonly unknown[] | null } = {},
) {
  const kept: string[] = [];
  const blobs = {
    put: (_tenant: string, id: string) => {
      kept.push(id);
      return Promise.resolve();
    },
    get: () => Promise.resolve(null),
  };
  const completions = new CallCompletions({ blobs, codec: new IdentityPayloadCodec() });
  const settled = { call: of, settlement, endedAtMs: 1_000, context: ROOT_CONTEXT, turn };
  const { next } = await completions.entryOf(settled);
  if (next.kind !== 'ended' || next.finished.value === null) throw new TypeError('no end');
  return { next, kept, headers: next.finished.headers, value: next.finished.value };
}

function succeeded(message: ClaudeMessage): Settlement {
  return {
    kind: 'succeeded',
    message,
    attempt: { outcome: 'succeeded', code: null, source },
  };
}

/** What is written of an answer, as a consumer reads it. */
async function completionOf(message: ClaudeMessage) {
  const { headers, kept, next, value } = await written(succeeded(message));
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

describe("a completion of a workflow's call", () => {
  const asked: Call = {
    ...call,
    id: 'default/job-1/c1/m7',
    callId: callIdSchema.parse('job-1/c1/m7'),
    session: { sessionId: conversationIdSchema.parse('job-1/c1/s'), seq: 7 },
    reply: sampleWorkflowReply,
  };

  async function told(settlement: Settlement, turn: readonly unknown[] | null = []) {
    const { headers, kept, next, value } = await written(settlement, { of: asked, turn });
    const read = decodeEvent(topics.claudeCompleted, { headers, value }, (body) => body);
    if (read.kind === 'bad') throw new TypeError(read.detail);
    return { next, kept, headers, data: claudeCompletedSchema.parse(read.data) };
  }

  it('goes to the workflow, under its key, and ends no job', async () => {
    const { data, headers, next } = await told(succeeded(answer({})));
    expect(next.finished).toMatchObject({
      topic: topics.claudeCompleted.name,
      key: 'default/job-1/c1',
    });
    expect(headers).toMatchObject({
      ce_id: 'default:job-1/c1/m7:completed',
      ce_type: 'millrace.claude.completed.v1',
      ce_subject: 'job-1',
    });
    expect(data).toMatchObject({
      workflow_id: 'job-1/c1',
      call_id: 'job-1/c1/m7',
      created_at: '2026-11-23T10:00:00.000Z',
      outcome: 'answered',
      kept: true,
      usage: { input_tokens: 1, output_tokens: 2 },
      attempts: [{ number: 1, outcome: 'succeeded' }],
    });
    expect(data.message).toMatchObject({ stop_reason: 'tool_use' });
  });

  it('says that its turn was not kept', async () => {
    expect((await told(succeeded(answer({})), null)).data.kept).toBe(false);
  });

  it('refers to a large message by an id without a slash, another for each call', async () => {
    const { data, kept } = await told(succeeded(answer('x'.repeat(300 * 1024))));
    expect(data.message_ref).toMatch(/^blob_[0-9a-f]{64}\.1\.answer$/);
    expect(kept).toEqual([data.message_ref]);
    expect(data.message).toBeUndefined();
    const job = await written(succeeded(answer('x'.repeat(300 * 1024))));
    expect(job.kept).toEqual(['blob_job-1.1.message']);
  });

  it('tells a failure, with no dead letter beside it', async () => {
    const { data, next } = await told(
      {
        kind: 'failed',
        code: 'retries_exhausted',
        detail: 'no',
        message: null,
        attempt: { outcome: 'failed', code: 'http_500', source },
        deadLetter: true,
      },
      null,
    );
    expect(data).toMatchObject({
      outcome: 'failed',
      kept: false,
      error: { code: 'retries_exhausted' },
      attempts: [{ code: 'http_500' }],
    });
    expect(next.deadLetter).toBeNull();
  });

  it('fails the call when it cannot be told: its turn is not kept either', async () => {
    const { data, next } = await told(succeeded(answer(nested(2_000))));
    expect(data).toMatchObject({ outcome: 'failed', kept: false, error: { code: 'internal' } });
    expect(next).toMatchObject({ turn: null, deadLetter: null });
  });

  it.each(['cancelled', 'expired'] as const)('tells that it was %s', async (kind) => {
    const { data } = await told({ kind, attempt: null }, null);
    expect(data).toMatchObject({ outcome: kind, kept: false, attempts: [] });
    expect(data.error?.code).toBe(kind === 'expired' ? 'deadline_exceeded' : 'cancelled');
  });
});

describe('an attempt', () => {
  it('is written down, but for a 429', async () => {
    const blobs = { put: () => Promise.resolve(), get: () => Promise.resolve(null) };
    const completions = new CallCompletions({ blobs, codec: new IdentityPayloadCodec() });
    const attempt = { outcome: 'failed', code: 'rate_limit_error', source } as const;
    const entryOf = (counts: 'nothing' | 'no_attempt') => {
      const settlement: Settlement = { kind: 'again', delayMs: 1, counts, attempt };
      const settled = { call, settlement, endedAtMs: 1, context: ROOT_CONTEXT, turn: null };
      return completions.entryOf(settled);
    };
    expect((await entryOf('no_attempt')).attempt).toBeNull();
    expect((await entryOf('nothing')).attempt).toEqual(attempt);
  });
});
