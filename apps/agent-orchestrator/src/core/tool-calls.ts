import { parallelToolCallsMax } from '@millrace/contracts';
import type { CallId, ToolCompleted, ToolDefinition } from '@millrace/contracts';

import { oneToolCall, spend } from './agent-budget.ts';
import { runnerGraceMs } from './agent-limits.ts';
import { hasRoom } from './agent-room.ts';
import type { Arguments, RunningTool, ToolUse } from './agent-state.ts';
import { moveUse, order, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { startChild } from './children.ts';
import { errorResult, resultOf } from './tool-results.ts';
import { settleUse } from './use-results.ts';
import type { EpochMs } from './workflow.ts';

/** Starts what waits, as far as there is room: so many at once, and within the budget. */
export function startQueued(step: AgentStep): void {
  for (const { callId } of step.run.uses) {
    if (step.ended || underWay(step.run.uses) >= parallelToolCallsMax) return;
    const use = step.run.uses.find((one) => one.callId === callId);
    if (use?.progress.at !== 'queued') continue;
    const { arguments: given } = use.progress;
    const { agents, tools } = step.run.agent;
    const tool = tools.find(({ name }) => name === use.name);
    const child = agents.find(({ name }) => name === use.name);
    if (child) startChild(step, use, { child, arguments: given });
    else if (tool && hasRoom(step, oneToolCall)) startTool(step, use, { tool, arguments: given });
  }
}

/** A tool's result. Only the one that is waited for counts. */
export function takeToolResult(step: AgentStep, data: ToolCompleted): Refusal {
  const use = runningUse(step, data.call_id);
  const tool = step.run.agent.tools.find(({ name }) => name === use?.name);
  if (!use || !tool) return 'no such tool call is under way';
  order(step, { kind: 'clear_timer', name: toolTimer(use.callId) });
  const result = resultOf(tool, data);
  // What the tool said is no result when it does not fit: then the timeline shows why.
  const isTold = data.error !== undefined || !result.isError;
  settleUse(step, use, { ...result, tainted: true, isTold });
  return null;
}

/**
 * Nobody answered in time. A tenant's worker is asked again, as often as the tool may be retried;
 * tool-runner retries by itself, so that its silence is final.
 */
export function giveUpWaiting(step: AgentStep, callId: string): Refusal {
  const use = runningUse(step, callId);
  const tool = step.run.agent.tools.find(({ name }) => name === use?.name);
  if (!use || !tool) return 'no such tool call is under way';
  const { progress } = use;
  if (step.now < progress.deadline) {
    // A timer of an earlier attempt.
    order(step, { kind: 'set_timer', name: toolTimer(use.callId), at: progress.deadline });
    return null;
  }
  if (progress.arguments && progress.attempt <= tool.retries) {
    sendTool(step, use, { tool, arguments: progress.arguments, attempt: progress.attempt + 1 });
    return null;
  }
  order(step, { kind: 'cancel_tool', callId: use.callId, via: tool.via });
  const detail = `the tool did not answer within ${tool.timeout_seconds} s`;
  settleUse(step, use, { ...errorResult('tool_timeout', detail), tainted: false });
  return null;
}

interface Sent {
  readonly tool: ToolDefinition;
  readonly arguments: Arguments;
}

function startTool(step: AgentStep, use: ToolUse, sent: Sent): void {
  update(step, { ledger: spend(step.run.ledger, oneToolCall) });
  sendTool(step, use, { ...sent, attempt: 1 });
}

function sendTool(step: AgentStep, use: ToolUse, o: Sent & { readonly attempt: number }): void {
  const { tool, attempt } = o;
  const deadline = step.now + waitMs(tool);
  const again = tool.via === 'worker' ? { arguments: o.arguments } : {};
  moveUse(step, use, { at: 'running', attempt, deadline, ...again });
  order(
    step,
    {
      kind: 'run_tool',
      callId: use.callId,
      via: tool.via,
      tool: tool.name,
      toolVersion: tool.version,
      arguments: o.arguments,
      attempt,
      deadline,
    },
    { kind: 'set_timer', name: toolTimer(use.callId), at: deadline },
  );
}

/** A worker has one attempt's time; tool-runner the time of all of them, and some to be late. */
function waitMs({ via, timeout_seconds, retries }: ToolDefinition): EpochMs {
  const attemptMs = timeout_seconds * 1_000;
  return via === 'worker' ? attemptMs : attemptMs * (retries + 1) + runnerGraceMs;
}

function toolTimer(callId: CallId): string {
  return `tool:${callId}`;
}

type RunningUse = ToolUse & { readonly progress: RunningTool };

function runningUse(step: AgentStep, callId: string): RunningUse | undefined {
  const isIt = (use: ToolUse): use is RunningUse =>
    use.callId === callId && use.progress.at === 'running';
  return step.run.uses.find(isIt);
}

function underWay(uses: readonly ToolUse[]): number {
  return uses.filter(({ progress }) => progress.at === 'running' || progress.at === 'child').length;
}
