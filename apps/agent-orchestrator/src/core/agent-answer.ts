import { assertNever } from '@millrace/contracts';
import type { ClaudeCompleted } from '@millrace/contracts';
import { z } from 'zod';

import { countUsage, settle } from './agent-budget.ts';
import {
  finalAnswerAsksMax,
  maxTokensDoubledMax,
  pausesMax,
  truncationsMax,
} from './agent-limits.ts';
import type { OpenCall } from './agent-state.ts';
import { count, fail, finish, succeed, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { finalAnswer } from './built-in-tools.ts';
import { messageSchema, spentBy, textIn } from './model-answer.ts';
import type { CompletedCall, Message } from './model-answer.ts';
import { promptTokens } from './prices.ts';
import { takeUses } from './tool-uses.ts';
import type { AskedUse } from './tool-uses.ts';

/** How the model call under way ended. */
export function takeAnswer(step: AgentStep, event: CompletedCall): Refusal {
  const { data } = event;
  const { call } = step.run;
  if (!call || call.callId !== data.call_id) return 'no such model call is under way';
  settleCall(step, call, event);
  switch (data.outcome) {
    case 'answered':
      readAnswer(step, call, data);
      return null;
    case 'failed':
    case 'expired':
    case 'cancelled':
      finish(step, { status: data.outcome, ...(data.error ? { error: data.error } : {}) });
      return null;
    default:
      return assertNever(data.outcome);
  }
}

/** An answer with what its reader has to know. */
interface Answer {
  readonly message: Message;
  readonly call: OpenCall;
  readonly kept: boolean;
  readonly model: string | undefined;
}

/**
 * What an answer comes to, by its `stop_reason`. An answer that `max_tokens` cut off is no
 * success: whoever reads the job's result would take the half for the whole. The job fails with
 * `answer_truncated`, and its `message` has the text as far as it came.
 */
function readAnswer(step: AgentStep, call: OpenCall, data: ClaudeCompleted): void {
  const parsed = messageSchema.safeParse(data.message);
  if (!parsed.success) {
    fail(step, 'unknown_stop_reason', { detail: 'the answer has no content or no stop_reason' });
    return;
  }
  const message = parsed.data;
  const answer = { message, call, kept: data.kept, model: data.model };
  switch (message.stop_reason) {
    case 'end_turn':
    case 'stop_sequence':
    case 'tool_use':
      readWholeAnswer(step, answer);
      return;
    case 'pause_turn':
      resume(step, answer);
      return;
    case 'max_tokens':
      askForMore(step, answer);
      return;
    case 'refusal':
      fail(step, 'refusal', { detail: refusalDetail(message), message });
      return;
    case 'model_context_window_exceeded':
      fail(step, 'session_too_long', { detail: 'the model’s context window is full', message });
      return;
    default: {
      const detail = `Claude stopped for the reason «${message.stop_reason.slice(0, 100)}»`;
      fail(step, 'unknown_stop_reason', { detail, message });
    }
  }
}

function readWholeAnswer(step: AgentStep, answer: Answer): void {
  const { message, model } = answer;
  const uses = usesIn(message);
  count(step, { pauses: 0, truncations: 0 });
  if (uses.length > 0) {
    takeUses(step, uses, { message, model });
    if (!step.ended) needKept(step, answer);
  } else if (message.stop_reason === 'tool_use') {
    const detail = 'Claude asked for a tool and named none';
    fail(step, 'unknown_stop_reason', { detail, message });
  } else if (step.run.agent.outputSchema !== undefined) {
    askForFinalAnswer(step, answer);
  } else {
    succeed(step, { result: textIn(message), message, model });
  }
}

/** Claude paused a long turn: it goes on when its content comes back as it is. */
function resume(step: AgentStep, answer: Answer): void {
  const uses = usesIn(answer.message);
  const pauses = step.run.counts.pauses + 1;
  if (uses.length > 0) {
    readWholeAnswer(step, answer);
  } else if (pauses > pausesMax) {
    const detail = `Claude paused ${pauses} times without an answer`;
    fail(step, 'retries_exhausted', { detail, message: answer.message });
  } else if (needKept(step, answer)) {
    count(step, { pauses });
    update(step, { due: { messages: [] } });
  }
}

/** A tool's arguments that were cut off are of no use: once more, with room for more of them. */
function askForMore(step: AgentStep, { message, call, kept }: Answer): void {
  const { truncations } = step.run.counts;
  const maxTokens = Math.min(call.maxTokens * 2, maxTokensDoubledMax);
  const cutUse = message.content.at(-1)?.type === 'tool_use';
  const again = truncations < truncationsMax && maxTokens > call.maxTokens;
  if (!cutUse || kept || !again || call.messages === null) {
    const what = cutUse ? 'the arguments of a tool were' : 'the answer was';
    const detail = `${what} cut off at ${call.maxTokens} tokens`;
    fail(step, 'answer_truncated', { detail, message });
    return;
  }
  count(step, { truncations: truncations + 1 });
  update(step, { due: { messages: call.messages, maxTokens } });
}

function askForFinalAnswer(step: AgentStep, answer: Answer): void {
  const finalAnswerAsks = step.run.counts.finalAnswerAsks + 1;
  if (finalAnswerAsks > finalAnswerAsksMax) {
    const detail = `Claude did not call ${finalAnswer} when it was asked to`;
    fail(step, 'invalid_output', { detail, message: answer.message });
  } else if (needKept(step, answer)) {
    count(step, { finalAnswerAsks });
    const content = `Give your final answer now by calling the tool ${finalAnswer}.`;
    update(step, { due: { messages: [{ role: 'user', content }] } });
  }
}

/** What is to go on from an answer must find it in its conversation. */
function needKept(step: AgentStep, { kept, message }: Answer): boolean {
  if (kept) return true;
  const detail = 'the answer has not entered its conversation';
  fail(step, 'internal', { detail, message });
  return false;
}

/** What came of the reservation, and how long the conversation is by now. */
function settleCall(step: AgentStep, call: OpenCall, event: CompletedCall): void {
  const { data } = event;
  const { usage } = data;
  const length = usage
    ? promptTokens(usage) + usage.output_tokens
    : call.promptTokens + call.maxTokens;
  update(step, {
    call: null,
    ledger: settle(countUsage(step.run.ledger, usage), call.held, spentBy(event, call.held)),
    conversationTokens: data.kept ? length : step.run.conversationTokens,
    standIn: step.run.standIn || data.stand_in === true,
  });
}

const toolUseSchema = z.object({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: z.unknown(),
});

function usesIn({ content }: Message): readonly AskedUse[] {
  return content.flatMap((block) => {
    const parsed = toolUseSchema.safeParse(block);
    if (!parsed.success) return [];
    const { id, name, input } = parsed.data;
    return [{ useId: id, name, input }];
  });
}

const stopDetailsSchema = z.object({ category: z.string() });

function refusalDetail(message: Message): string {
  const details = stopDetailsSchema.safeParse(message['stop_details']);
  const category = details.success ? `: ${details.data.category.slice(0, 100)}` : '';
  return `Claude declined to answer${category}`;
}
