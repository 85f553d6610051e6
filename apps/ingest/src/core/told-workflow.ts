import {
  assertNever,
  isTerminal,
  jobStatusSchema,
  type ApprovalDecision,
  type ApprovalView,
  type JobView,
  type WorkflowAnswer,
} from '@millrace/contracts';

import { ProblemError } from './problem.ts';

/** What is known of a job's run when it is to be told something. */
export type KnownRun =
  | { readonly kind: 'found'; readonly workflow: WorkflowAnswer }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'away' };

/**
 * The run that may be told something.
 * @throws ProblemError when it has ended, has not begun, or cannot be asked.
 */
export function runningWorkflow(run: KnownRun): WorkflowAnswer {
  switch (run.kind) {
    case 'found': {
      const status = jobStatusSchema.safeParse(run.workflow.status);
      if (status.success && isTerminal(status.data)) throw jobEnded();
      return run.workflow;
    }
    case 'unknown':
      // What it would be told might overtake its start.
      throw new ProblemError('not_begun', 'the run of this job has not begun yet: ask again');
    case 'away':
      throw new ProblemError('unavailable', 'the run of this job cannot be asked now');
    default:
      return assertNever(run);
  }
}

/**
 * Whether the job is one that may be told something at all.
 * @throws ProblemError for a message, and for a job that has ended.
 */
export function assertHasRun(job: JobView): void {
  if (job.type === 'message') {
    throw new ProblemError('invalid_request', 'a job of type message has no run');
  }
  if (isTerminal(job.status)) throw jobEnded();
}

/**
 * The approval that a decision is about.
 * @throws ProblemError when there is none, it was decided, or it shows another call by now.
 */
export function decidable(
  workflow: WorkflowAnswer,
  id: string,
  decision: ApprovalDecision,
): ApprovalView {
  const approval = workflow.view.approvals.find((each) => each.id === id);
  if (approval === undefined) {
    throw new ProblemError('not_found', 'the run of this job has no approval of this id');
  }
  if (approval.status !== 'pending') {
    throw new ProblemError('changed_meanwhile', `the approval is ${approval.status} already`);
  }
  if (decision.hash !== undefined && decision.hash !== approval.hash) {
    throw new ProblemError('changed_meanwhile', 'the approval shows another call: read it again');
  }
  return approval;
}

function jobEnded(): ProblemError {
  return new ProblemError('job_ended', 'the job has ended: nothing can be said to its run');
}
