import {
  PayloadCodec,
  type ApprovalDecision,
  type ApprovalView,
  type BudgetRaise,
  type JobView,
  type WorkflowAnswer,
} from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { isConnectionLost } from '@millrace/postgres';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { ProblemError } from './core/problem.ts';
import { assertHasRun, decidable, runningWorkflow, type KnownRun } from './core/told-workflow.ts';
import {
  budgetMessage,
  decisionMessage,
  signalMessage,
  type ToldJob,
  type WorkflowMessage,
} from './core/workflow-messages.ts';
import { Announcements, Clock, Jobs, Workflows, type JobName } from './ports.ts';

export interface GivenSignal {
  readonly name: string;
  readonly signalId: string;
  readonly data: unknown;
}

/**
 * What people tell the run of an agent or a document. It is checked by what the run knows now, and
 * becomes an event in the outbox: what it comes to is the run's to say.
 */
@Injectable()
export class JobRuns {
  constructor(
    private readonly jobs: Jobs,
    private readonly workflows: Workflows,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
  ) {}

  /** @throws ProblemError `unavailable` when the run cannot be asked. */
  async approvals(name: JobName, context: Context): Promise<readonly ApprovalView[]> {
    const view = await this.jobOf(name);
    if (view.type === 'message') return [];
    const found = await this.workflows.find(toldJob(name, view), context);
    if (found.kind === 'unknown') return [];
    if (found.kind === 'away') return runningWorkflow(found).view.approvals;
    return found.workflow.view.approvals;
  }

  /** @returns the job as it stands. */
  async decide(
    name: JobName,
    o: { readonly approvalId: string; readonly decision: ApprovalDecision },
    context: Context,
  ): Promise<JobView> {
    const { job, view, workflow } = await this.running(name, (each) =>
      this.workflows.find(each, context),
    );
    const approval = decidable(workflow, o.approvalId, o.decision);
    const workflowId = workflow.approval_workflows[approval.id] ?? job.id;
    const message = decisionMessage(job, { approval, workflowId }, o.decision);
    await this.publish(job, message, context);
    return view;
  }

  /** @returns the job as it stands. */
  signal(name: JobName, signal: GivenSignal, context: Context): Promise<JobView> {
    return this.tell(name, context, (job) => signalMessage(job, signal));
  }

  /** @returns the job as it stands. */
  raiseBudget(
    name: JobName,
    raise: { readonly raiseId: string; readonly budget: BudgetRaise },
    context: Context,
  ): Promise<JobView> {
    return this.tell(name, context, (job) => budgetMessage(job, raise));
  }

  private async tell(
    name: JobName,
    context: Context,
    messageOf: (job: ToldJob) => WorkflowMessage,
  ): Promise<JobView> {
    const { job, view } = await this.running(name, (each) =>
      this.workflows.standing(each, context),
    );
    await this.publish(job, messageOf(job), context);
    return view;
  }

  private async running(
    name: JobName,
    ask: (job: ToldJob) => Promise<KnownRun>,
  ): Promise<{ readonly job: ToldJob; readonly view: JobView; readonly workflow: WorkflowAnswer }> {
    const view = await this.jobOf(name);
    assertHasRun(view);
    const job = toldJob(name, view);
    return { job, view, workflow: runningWorkflow(await ask(job)) };
  }

  /** Another tenant's job is not there: its existence is nobody's business. */
  private async jobOf(name: JobName): Promise<JobView> {
    const view = await this.jobs.find(name);
    if (view === null) throw new ProblemError('not_found', 'there is no job of this id');
    return view;
  }

  private async publish(job: ToldJob, told: WorkflowMessage, context: Context): Promise<void> {
    const message = eventMessage({
      ...told.route,
      source: 'ingest',
      subject: job.id,
      time: this.clock.now(),
      tenant: job.tenant,
      json: JSON.stringify(told.data),
      codec: this.codec,
      context,
    });
    await this.jobs.announce(message).catch((error: unknown) => {
      if (!isConnectionLost(error)) throw error;
      throw new ProblemError('unavailable', 'it is not known whether this was noted: ask again');
    });
    this.announcements.publish([message]);
  }
}

function toldJob({ id, tenant }: JobName, view: JobView): ToldJob {
  return { tenant, id, createdAt: view.created_at };
}
