import {
  topics,
  type ApprovalDecision,
  type ApprovalView,
  type BudgetRaise,
  type JobId,
  type TenantId,
  type WorkflowApprovalDecided,
  type WorkflowBudgetRaised,
  type WorkflowId,
  type WorkflowSignalled,
} from '@millrace/contracts';

import type { EventRoute } from './new-job.ts';

/** Whose run is told something. */
export interface ToldJob {
  readonly tenant: TenantId;
  readonly id: JobId;
  /** Of its acceptance, as its events tell it. */
  readonly createdAt: string;
}

export interface WorkflowMessage {
  readonly route: EventRoute;
  readonly data: WorkflowApprovalDecided | WorkflowBudgetRaised | WorkflowSignalled;
}

/**
 * The decision holds for the call that the approval shows, whatever the caller named of it, and
 * goes to who asked for it: the job's run, or a sub-agent of it.
 */
export function decisionMessage(
  job: ToldJob,
  { approval, workflowId }: { readonly approval: ApprovalView; readonly workflowId: WorkflowId },
  { decision, reason }: ApprovalDecision,
): WorkflowMessage {
  const { hash, id: approval_id } = approval;
  // Both decisions have one id: whichever comes first is the one that counts.
  const route = routeOf(job, 'approval-decided', approval_id);
  const fields = { ...fieldsOf(job), workflow_id: workflowId };
  return {
    route: { ...route, key: `${job.tenant}/${workflowId}` },
    data: { ...fields, approval_id, decision, reason, hash },
  };
}

export function signalMessage(
  job: ToldJob,
  signal: { readonly name: string; readonly signalId: string; readonly data: unknown },
): WorkflowMessage {
  const { data = null, name, signalId: signal_id } = signal;
  return {
    route: routeOf(job, 'signalled', `${name}:${signal_id}`),
    data: { ...fieldsOf(job), name, signal_id, data },
  };
}

export function budgetMessage(
  job: ToldJob,
  raise: { readonly raiseId: string; readonly budget: BudgetRaise },
): WorkflowMessage {
  const { budget, raiseId: raise_id } = raise;
  return {
    route: routeOf(job, 'budget-raised', raise_id),
    data: { ...fieldsOf(job), raise_id, budget },
  };
}

function fieldsOf({ createdAt: created_at, id: workflow_id, tenant }: ToldJob) {
  return { tenant, workflow_id, created_at };
}

/** On the topic and key of the run's request, so that nothing overtakes its start. */
function routeOf(
  { id, tenant }: ToldJob,
  what: 'approval-decided' | 'signalled' | 'budget-raised',
  cause: string,
): EventRoute {
  return {
    topic: topics.workflowsRequested,
    type: `millrace.workflow.${what}.v1`,
    id: `${tenant}:${id}:${what}:${cause}`,
    key: `${tenant}/${id}`,
  };
}
