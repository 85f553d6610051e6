import { approvalSeconds } from '@millrace/contracts';
import type { ApprovalView, ToolDefinition, WorkflowApprovalDecided } from '@millrace/contracts';

import { decidedApprovalsKept } from './agent-limits.ts';
import type { AgentRun, Arguments, AskedApproval, ToolUse, UseProgress } from './agent-state.ts';
import { moveUse, note, order, tell, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { sha256 } from './canonical-json.ts';
import { errorResult } from './tool-results.ts';
import { settleUse } from './use-results.ts';

/** Whether a person has to agree, given whether the conversation holds what others wrote. */
export function needsApproval(
  { approval, effect }: Pick<ToolDefinition, 'approval' | 'effect'>,
  tainted: boolean,
): boolean {
  return approval === 'always' || (approval === 'auto' && effect === 'write' && tainted);
}

/** Asks a person. The approval holds for this call, this version and these arguments alone. */
export function askApproval(
  step: AgentStep,
  use: ToolUse,
  o: { readonly tool: ToolDefinition; readonly arguments: Arguments },
): void {
  const { name, version } = o.tool;
  const call = [step.tenant, step.id, use.callId, name, version, o.arguments];
  const approval: AskedApproval = {
    id: `apr_${sha256(call).slice(0, 32)}`,
    tool: name,
    tool_version: version,
    hash: sha256([name, version, o.arguments]),
    requested_at: new Date(step.now).toISOString(),
    expires_at: new Date(step.now + approvalSeconds * 1_000).toISOString(),
    status: 'pending',
  };
  moveUse(step, use, { at: 'approving', arguments: o.arguments, approval });
  const timer = approvalTimer(approval);
  order(step, { kind: 'set_timer', name: timer, at: Date.parse(approval.expires_at) });
  const { id, hash } = approval;
  const expires_at = decidableUntil(step.run, approval);
  note(step, { kind: 'approval', id, name, input: o.arguments });
  const told = { approval_id: id, call_id: use.callId, tool: name, arguments: o.arguments };
  tell(step, { kind: 'approval_requested', ...told, hash, expires_at });
}

/** What a person said. It counts once, and for the call that was shown. */
export function takeApproval(step: AgentStep, data: WorkflowApprovalDecided): Refusal {
  const use = usesApproving(step.run).find(({ progress }) => {
    return progress.approval.id === data.approval_id;
  });
  if (!use) return 'no such approval is waited for';
  if (data.hash !== undefined && data.hash !== use.progress.approval.hash) {
    return 'the decision is for another call';
  }
  order(step, { kind: 'clear_timer', name: approvalTimer(use.progress.approval) });
  if (data.decision === 'approve') {
    noteDecision(step, use, 'approved');
    moveUse(step, use, { at: 'queued', arguments: use.progress.arguments });
    return null;
  }
  noteDecision(step, use, 'rejected');
  const detail = data.reason ?? 'a person did not agree to this call';
  settleUse(step, use, { ...errorResult('approval_rejected', detail), tainted: false });
  return null;
}

export function expireApproval(step: AgentStep, approvalId: string): Refusal {
  const use = usesApproving(step.run).find(({ progress }) => progress.approval.id === approvalId);
  if (!use) return 'no such approval is waited for';
  const { approval } = use.progress;
  const at = Date.parse(approval.expires_at);
  if (step.now < at) {
    order(step, { kind: 'set_timer', name: approvalTimer(approval), at });
    return null;
  }
  noteDecision(step, use, 'expired');
  const { id, tool: name } = approval;
  note(step, { kind: 'approval', id, name, end: { output: { decision: 'expired' } } });
  const detail = `nobody agreed within ${approvalSeconds} s`;
  settleUse(step, use, { ...errorResult('approval_expired', detail), tainted: false });
  return null;
}

/** Those that wait, with their arguments, after those that were decided. */
export function approvalsOf(run: AgentRun): readonly ApprovalView[] {
  const pending = usesApproving(run).map(({ progress }) => {
    const { approval } = progress;
    const expires_at = decidableUntil(run, approval);
    return { ...approval, expires_at, arguments: progress.arguments };
  });
  return [...decidedViews(run.decided), ...pending];
}

/** A run that ends by its own time takes what it asks with it; one that parks then still waits. */
function decidableUntil({ ledger, origin }: AgentRun, { expires_at }: AskedApproval): string {
  const outOfTime = origin.startedAt + ledger.limits.seconds * 1_000;
  const ends = [
    Date.parse(expires_at),
    ledger.onReached === 'fail' ? outOfTime : Infinity,
    origin.completeBy === undefined ? Infinity : Date.parse(origin.completeBy),
  ];
  return new Date(Math.min(...ends)).toISOString();
}

export function decidedViews(decided: readonly AskedApproval[]): readonly ApprovalView[] {
  return decided.map((approval) => ({ ...approval, arguments: undefined }));
}

type ApprovingUse = ToolUse & { readonly progress: Extract<UseProgress, { at: 'approving' }> };

function usesApproving({ uses }: AgentRun): readonly ApprovingUse[] {
  return uses.filter((use): use is ApprovingUse => use.progress.at === 'approving');
}

function noteDecision(
  step: AgentStep,
  { progress: { approval } }: ApprovingUse,
  status: 'approved' | 'rejected' | 'expired',
): void {
  const decided = [...step.run.decided, { ...approval, status }].slice(-decidedApprovalsKept);
  update(step, { decided });
  tell(step, { kind: 'approval_decided', approval_id: approval.id, decision: status });
}

function approvalTimer({ id }: AskedApproval): string {
  return `approval:${id}`;
}
