import { nothing, reserve } from './agent-budget.ts';
import type { Amount } from './agent-budget.ts';
import { resultsBytesMax } from './agent-limits.ts';
import { hasRoom } from './agent-room.ts';
import type { AgentRun, DueCall } from './agent-state.ts';
import { count, order, tell, update } from './agent-step.ts';
import type { AgentStep } from './agent-step.ts';
import { offeredTools } from './built-in-tools.ts';
import { jsonBytes } from './canonical-json.ts';
import { costMicrosMax } from './prices.ts';
import { promptTokensAtMost } from './prompt-tokens.ts';

/** Asks the model, when that is due and the budget has room for the most that it may cost. */
export function askModel(step: AgentStep): void {
  const { run } = step;
  if (step.ended || !run.due || run.call) return;
  const { messages } = run.due;
  const maxTokens = run.due.maxTokens ?? run.agent.maxTokens;
  const promptTokens = promptTokensOf(run, messages);
  const held = costAtMost(run, { promptTokens, outputTokens: maxTokens });
  if (!hasRoom(step, held)) return;
  const seq = run.counts.calls + 1;
  const callId = `${step.id}/m${seq}`;
  const kept = jsonBytes(messages) > resultsBytesMax ? null : messages;
  update(step, {
    due: null,
    call: { callId, seq, askedIn: step.version, held, maxTokens, messages: kept, promptTokens },
    ledger: reserve(run.ledger, held),
  });
  count(step, { calls: seq });
  const params = paramsOf(run, { messages, maxTokens });
  // Only the job's own text is told, not that of sub-agents.
  const turn = run.origin.depth === 0 ? seq : null;
  order(step, { kind: 'call_claude', callId, seq, turn, params });
  tell(step, { kind: 'model_call', turn: seq });
}

/** The Messages API's own parameters; of the messages only those that are new. */
function paramsOf(run: AgentRun, call: Required<DueCall>): Readonly<Record<string, unknown>> {
  const tools = offeredTools(run.agent);
  return {
    ...run.agent.params,
    model: run.agent.model,
    max_tokens: call.maxTokens,
    messages: call.messages,
    ...(tools.length > 0 ? { tools } : {}),
  };
}

function promptTokensOf(run: AgentRun, messages: readonly unknown[]): number {
  const added = promptTokensAtMost(messages);
  if (run.conversationTokens > 0) return run.conversationTokens + turnTokens + added;
  const { params } = run.agent;
  return frameTokens + added + promptTokensAtMost([params, offeredTools(run.agent)]);
}

/** What the API itself adds to a prompt, to explain tools to the model, and around a turn. */
const frameTokens = 1_000;
const turnTokens = 100;

function costAtMost(
  { agent }: AgentRun,
  tokens: { readonly promptTokens: number; readonly outputTokens: number },
): Amount {
  return {
    ...nothing,
    micros: agent.price ? costMicrosMax(agent.price, tokens) : 0,
    tokens: tokens.promptTokens + tokens.outputTokens,
    iterations: 1,
  };
}
