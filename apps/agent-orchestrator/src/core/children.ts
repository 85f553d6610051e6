import {
  agentChildrenStartedMax,
  agentDepthMax,
  untrustedData,
  workflowIdSchema,
} from '@millrace/contracts';
import type {
  SubAgent,
  WorkflowChildFinished,
  WorkflowId,
  WorkflowRequested,
} from '@millrace/contracts';

import { allowance, amountOf, countUsage, oneToolCall } from './agent-budget.ts';
import { reserve, settle, spend } from './agent-budget.ts';
import type { Amount } from './agent-budget.ts';
import { hasRoom } from './agent-room.ts';
import type { AgentRun, Arguments, ToolUse } from './agent-state.ts';
import { count, moveUse, note, order, tell, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { errorResult } from './tool-results.ts';
import type { UseResult } from './tool-results.ts';
import { settleUse } from './use-results.ts';

/** A call of a sub-agent. */
interface ChildCall {
  readonly child: SubAgent;
  readonly arguments: Arguments;
}

/** Starts a sub-agent with its part of what is left; waits when nothing is. */
export function startChild(step: AgentStep, use: ToolUse, call: ChildCall): void {
  const { counts, origin } = step.run;
  if (counts.children >= agentChildrenStartedMax || origin.depth >= agentDepthMax) {
    const detail = `at most ${agentChildrenStartedMax} sub-agents, ${agentDepthMax} deep`;
    settleUse(step, use, { ...errorResult('limit_reached', detail), tainted: false });
    return;
  }
  if (!hasRoom(step, leastAllowance(step.run))) return;
  const n = counts.children + 1;
  const childId = workflowIdSchema.parse(`${step.id}/c${n}`);
  count(step, { children: n });
  update(step, { ledger: spend(step.run.ledger, oneToolCall) });
  const { held, budget } = allowance(step.run.ledger, {
    asked: call.child.budget,
    sharers: queuedChildren(step.run),
    secondsLeft: secondsLeft(step),
  });
  update(step, { ledger: reserve(step.run.ledger, held) });
  moveUse(step, use, { at: 'child', childId, held, askedIn: step.version });
  order(step, { kind: 'start_child', request: requestOf(step, use, { ...call, childId, budget }) });
  note(step, { kind: 'child', id: childId, name: use.name, input: call.arguments });
  tell(step, { kind: 'child_started', child_id: childId, name: use.name });
}

/** How a sub-agent ended. What it has not spent comes back. */
export function takeChildEnd(step: AgentStep, data: WorkflowChildFinished): Refusal {
  const use = step.run.uses.find(({ callId }) => callId === data.call_id);
  if (use?.progress.at !== 'child' || use.progress.childId !== data.child_id) {
    return 'no such sub-agent is under way';
  }
  const { held } = use.progress;
  const ledger = countUsage(step.run.ledger, data.usage);
  update(step, { ledger: settle(ledger, held, amountOf(data.spent)) });
  tell(step, { kind: 'child_finished', child_id: data.child_id });
  settleUse(step, use, { ...resultOfChild(data), tainted: data.tainted, isTold: true });
  return null;
}

function requestOf(
  step: AgentStep,
  use: ToolUse,
  o: ChildCall & {
    readonly childId: WorkflowId;
    readonly budget: WorkflowRequested['budget'];
  },
): WorkflowRequested {
  const { origin, tainted } = step.run;
  return {
    tenant: origin.tenant,
    job_id: o.childId,
    type: 'agent',
    params: paramsOf(step.run, o),
    budget: o.budget,
    depth: origin.depth + 1,
    tainted,
    stream: origin.stream,
    ...(origin.lane === undefined ? {} : { lane: origin.lane }),
    ...(origin.completeBy === undefined ? {} : { complete_by: origin.completeBy }),
    reply: {
      kind: 'child',
      workflow_id: workflowIdSchema.parse(step.id),
      call_id: use.callId,
      job_id: origin.jobId,
      created_at: origin.createdAt,
    },
  };
}

function paramsOf(run: AgentRun, { child, arguments: given }: ChildCall) {
  const { system, tools, output_schema } = child;
  return {
    model: child.model ?? run.agent.model,
    max_tokens: child.max_tokens ?? run.agent.maxTokens,
    messages: [{ role: 'user', content: String(given['prompt']) }],
    ...(system === undefined ? {} : { system }),
    ...(tools === undefined ? {} : { tools }),
    ...(output_schema === undefined ? {} : { output_schema }),
  };
}

function resultOfChild(data: WorkflowChildFinished): UseResult {
  const { status, result = '', error, tainted } = data;
  const told = (text: string) => (tainted ? untrustedData(text) : text);
  if (status === 'succeeded') return { content: told(result), isError: false };
  const { code, detail } = error ?? { code: 'cancelled', detail: 'the sub-agent was cancelled' };
  return errorResult(code, `the sub-agent ended as ${status}: ${told(detail.slice(0, 1_000))}`);
}

/** One of everything for it, beside the call itself. */
function leastAllowance({ ledger }: AgentRun): Amount {
  const micros = ledger.limits.micros === null ? 0 : 1;
  return { micros, tokens: 1, iterations: 1, toolCalls: 2 };
}

function queuedChildren({ uses, agent }: AgentRun): number {
  const isChild = (use: ToolUse) => agent.agents.some(({ name }) => name === use.name);
  return uses.filter((use) => use.progress.at === 'queued' && isChild(use)).length;
}

function secondsLeft({ run, now }: AgentStep): number {
  const goneMs = now - run.origin.startedAt;
  return Math.floor(run.ledger.limits.seconds - goneMs / 1_000);
}
