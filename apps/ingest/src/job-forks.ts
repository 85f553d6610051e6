import {
  isTerminal,
  type ForkComparison,
  type ForkSubmission,
  type JobView,
  type WorkflowAnswer,
} from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { compareFork, type ComparedRun } from './core/fork-comparison.ts';
import { assertHasStep, forkOrder, requestOfRow, type ForkSource } from './core/fork-order.ts';
import { ProblemError } from './core/problem.ts';
import { readJson } from './core/redrive.ts';
import { JobIntake, type TakenJob } from './job-intake.ts';
import {
  IntakePolicy,
  Jobs,
  LargeBodies,
  Workflows,
  type JobName,
  type StandingJobRow,
} from './ports.ts';

export interface ForkRequest {
  readonly source: JobName;
  readonly fork: ForkSubmission;
  readonly idempotencyKey: string | null;
  readonly context: Context;
}

/** Runs of agents that begin with the first steps of other ones, and what came of them. */
@Injectable()
export class JobForks {
  constructor(
    private readonly jobs: Jobs,
    private readonly workflows: Workflows,
    private readonly bodies: LargeBodies,
    private readonly intake: JobIntake,
    private readonly policy: IntakePolicy,
  ) {}

  /** @throws ProblemError when there is no such run or step, or the fork is refused. */
  async make({ context, fork, idempotencyKey, source }: ForkRequest): Promise<TakenJob> {
    const row = await this.jobs.findStanding(source);
    if (row === null) throw noJob();
    if (row.type !== 'agent') {
      throw new ProblemError('invalid_request', 'only the run of an agent can be forked');
    }
    assertHasStep(await this.runOf(row, context), fork);
    const judged = forkOrder(await this.sourceOf(row), fork, this.policy.rules);
    if (!judged.ok) throw this.intake.refused('agent', judged.refusal);
    const { tenant } = source;
    const handover = { tenant, jobId: fork.job_id, idempotencyKey, forkOf: row.id, context };
    return this.intake.takeOrder(handover, judged.order);
  }

  /** @throws ProblemError when the job is no fork, or the runs cannot be asked. */
  async compare(name: JobName, context: Context): Promise<ForkComparison> {
    const row = await this.jobs.findStanding(name);
    if (row === null) throw noJob();
    const { fork_of: sourceId } = row.view;
    if (sourceId === undefined) throw new ProblemError('not_found', 'this job is no fork');
    const [source, fork] = await Promise.all([
      this.compared({ tenant: name.tenant, id: sourceId }, context),
      this.compared(name, context),
    ]);
    const fromStep = requestOfRow(row.firstEventJson).fork?.from_step ?? 0;
    return compareFork({ source, fork }, fromStep);
  }

  /** The run that is to be forked, which has to be kept still. */
  private async runOf(row: StandingJobRow, context: Context): Promise<WorkflowAnswer> {
    const found = await this.workflows.find(acceptedJob(row, row.view), context);
    if (found.kind === 'found') return found.workflow;
    if (found.kind === 'away') throw away();
    if (isTerminal(row.view.status)) {
      throw new ProblemError('gone', 'the run of this job is not kept any longer');
    }
    throw new ProblemError('not_begun', 'the run of this job has not begun yet: ask again');
  }

  private async sourceOf(row: StandingJobRow): Promise<ForkSource> {
    const request = requestOfRow(row.firstEventJson);
    const ref = request.params_ref;
    const stored = ref === undefined ? null : await this.bodies.read(row.tenant, ref);
    const params = request.params ?? readJson(stored);
    if (params === null) {
      throw new ProblemError('gone', 'the parameters of this job are not kept any longer');
    }
    const { id, sessionId, view } = row;
    return { id, sessionId, lane: view.lane, createdAt: view.created_at, request, params };
  }

  private async compared(name: JobName, context: Context): Promise<ComparedRun> {
    const job = await this.jobs.find(name);
    if (job === null) throw new ProblemError('gone', 'the source of this fork is not kept');
    const found = await this.workflows.find(acceptedJob(name, job), context);
    if (found.kind === 'away') throw away();
    return { job, workflow: found.kind === 'found' ? found.workflow : null };
  }
}

function acceptedJob({ id, tenant }: JobName, { created_at: createdAt }: JobView) {
  return { tenant, id, createdAt };
}

function noJob(): ProblemError {
  return new ProblemError('not_found', 'there is no job of this id');
}

function away(): ProblemError {
  return new ProblemError('unavailable', 'the runs of jobs cannot be asked now');
}
