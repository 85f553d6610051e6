import type { ErrorCode, JobStep } from '@millrace/contracts';

import { account, settle } from './agent-budget.ts';
import type { AgentRun, AgentState, EndedRun, ToolUse, UseProgress } from './agent-state.ts';
import type { Command, Decision, EpochMs, NotedStep, Workflow, WorkflowEnd } from './workflow.ts';

/** One decision in the making: the run as it is by now, and what is to be done, in order. */
export interface AgentStep {
  readonly tenant: string;
  readonly id: string;
  readonly now: EpochMs;
  /** Of the run once this is decided. */
  readonly version: number;
  run: AgentRun;
  /** Set once: nothing follows it. */
  ended: { readonly status: WorkflowEnd['status']; readonly state: EndedRun } | null;
  readonly commands: Command[];
  readonly noted: NotedStep[];
}

/** Why an event changes nothing; null when it was taken. */
export type Refusal = string | null;

export function stepOf(workflow: Workflow, run: AgentRun, now: EpochMs): AgentStep {
  const { id, tenant } = workflow;
  const version = workflow.version + 1;
  return { tenant, id, now, version, run, ended: null, commands: [], noted: [] };
}

export function update(step: AgentStep, change: Partial<AgentRun>): void {
  step.run = { ...step.run, ...change };
}

export function count(step: AgentStep, change: Partial<AgentRun['counts']>): void {
  update(step, { counts: { ...step.run.counts, ...change } });
}

export function order(step: AgentStep, ...commands: readonly Command[]): void {
  step.commands.push(...commands);
}

/** Tells those who listen; nobody else's journal holds it. */
export function tell(step: AgentStep, told: JobStep['step']): void {
  if (step.run.origin.stream) order(step, { kind: 'tell_step', step: told });
}

/** Shows in the timeline what is told nobody. */
export function note(step: AgentStep, noted: NotedStep): void {
  step.noted.push(noted);
}

export function moveUse(step: AgentStep, use: ToolUse, progress: UseProgress): void {
  const uses = step.run.uses.map((other) =>
    other.callId === use.callId ? { ...other, progress } : other,
  );
  update(step, { uses });
}

export interface Ending extends Pick<WorkflowEnd, 'status'> {
  readonly result?: string;
  readonly message?: Readonly<Record<string, unknown>>;
  readonly model?: string;
  readonly error?: { readonly code: ErrorCode; readonly detail: string };
}

/**
 * Ends the run at once. What is under way is called back and counted at its most: nobody can say
 * any more what it will have cost.
 */
export function finish(step: AgentStep, ending: Ending): void {
  if (step.ended) return;
  const { agent, decided, standIn, tainted } = step.run;
  callBack(step);
  const { ledger } = step.run;
  order(step, {
    kind: 'finish',
    end: { ...ending, ...account(ledger), tainted, standIn },
  });
  const state: EndedRun = { stage: 'ended', agent, ledger, decided, tainted };
  step.ended = { status: ending.status, state };
}

/** Ends the run with its result. */
export function succeed(
  step: AgentStep,
  o: Required<Pick<Ending, 'result' | 'message'>> & { readonly model: string | undefined },
): void {
  const { model, ...answer } = o;
  finish(step, { status: 'succeeded', ...answer, ...(model === undefined ? {} : { model }) });
}

export function fail(
  step: AgentStep,
  code: ErrorCode,
  o: { readonly detail: string; readonly message?: Readonly<Record<string, unknown>> },
): void {
  const message = o.message === undefined ? {} : { message: o.message };
  finish(step, { status: 'failed', error: { code, detail: o.detail }, ...message });
}

/** What a step comes to. */
export function decisionOf(step: AgentStep): Decision<AgentState> {
  const { commands, ended, run } = step;
  const noted = step.noted.length > 0 ? { noted: step.noted } : {};
  if (ended) return { kind: 'changed', ...ended, commands, ...noted };
  return { kind: 'changed', status: statusOf(run), state: run, commands, ...noted };
}

export function isMoving(run: AgentRun): boolean {
  const moves = ({ progress }: ToolUse) => progress.at === 'running' || progress.at === 'child';
  return run.stage === 'describing' || run.call !== null || run.uses.some(moves);
}

/** A run is said to wait only while nothing of it moves. */
function statusOf(run: AgentRun): AgentStatus {
  if (isMoving(run)) return 'running';
  if (run.reached) return 'awaiting_budget';
  if (run.uses.some(({ progress }) => progress.at === 'approving')) return 'awaiting_approval';
  if (run.uses.some(({ progress }) => progress.at === 'signal')) return 'awaiting_signal';
  return 'running';
}

type AgentStatus = 'running' | 'awaiting_budget' | 'awaiting_approval' | 'awaiting_signal';

function callBack(step: AgentStep): void {
  const { call, uses, origin, stage } = step.run;
  order(step, { kind: 'clear_timer', name: 'deadline' });
  if (stage === 'describing') order(step, { kind: 'clear_timer', name: 'describe' });
  if (origin.completeBy !== undefined) order(step, { kind: 'clear_timer', name: 'complete_by' });
  if (call) {
    order(step, { kind: 'cancel_call', callId: call.callId, seq: call.seq });
    update(step, { ledger: settle(step.run.ledger, call.held, call.held), call: null });
  }
  for (const use of uses) callBackUse(step, use);
}

function callBackUse(step: AgentStep, { callId, name, progress }: ToolUse): void {
  switch (progress.at) {
    case 'running': {
      const tool = step.run.agent.tools.find((one) => one.name === name);
      order(
        step,
        { kind: 'cancel_tool', callId, via: tool?.via ?? 'runner' },
        { kind: 'clear_timer', name: `tool:${callId}` },
      );
      return;
    }
    case 'child':
      order(step, { kind: 'cancel_child', childId: progress.childId });
      update(step, { ledger: settle(step.run.ledger, progress.held, progress.held) });
      return;
    case 'approving':
      order(step, { kind: 'clear_timer', name: `approval:${progress.approval.id}` });
      return;
    case 'queued':
    case 'signal':
    case 'done':
      return;
  }
}
