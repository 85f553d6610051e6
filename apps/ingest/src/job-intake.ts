import {
  PayloadCodec,
  assertNever,
  jobIdSchema,
  type JobId,
  type JobSubmission,
  type JobType,
  type JobView,
  type TenantId,
} from '@millrace/contracts';
import { BadRowError } from '@millrace/postgres';
import { Logger, names } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import { trace, type Context } from '@opentelemetry/api';
import { ulid } from 'ulid';

import { Admission } from './admission.ts';
import { announcementOf } from './announcement.ts';
import { isOfPlatform, type Refused } from './core/admission.ts';
import { decideReplay } from './core/decide-replay.ts';
import { traceIdOf } from './core/job-view.ts';
import { untimelinessOf } from './core/job-times.ts';
import { judgeSubmission, type JobOrder, type Refusal } from './core/judge-submission.ts';
import type { NewJob } from './core/new-job.ts';
import { ProblemError, RefusedForNow } from './core/problem.ts';
import { JobPreparation } from './job-preparation.ts';
import { JobReleases } from './job-releases.ts';
import { OwnLoad } from './own-load.ts';
import { SubmissionCounter } from './submission-counter.ts';
import { traceparentOf } from './job-trace.ts';
import {
  Announcements,
  Clock,
  IntakePolicy,
  Jobs,
  type Insertion,
  type StandingJobRow,
} from './ports.ts';

export interface HttpSubmission {
  readonly tenant: TenantId;
  readonly submission: JobSubmission;
  readonly idempotencyKey: string | null;
  /** Of the request's span. */
  readonly context: Context;
}

/** Who hands an order over, and under which names. */
export interface Handover {
  readonly tenant: TenantId;
  readonly jobId: JobId | undefined;
  readonly idempotencyKey: string | null;
  /** The job whose first steps it takes over. */
  readonly forkOf?: JobId;
  /** Of the request's span. */
  readonly context: Context;
}

/** A job that is durable. `replayed`: it was before this request, too. */
export interface TakenJob {
  readonly view: JobView;
  readonly replayed: boolean;
}

/**
 * Takes jobs in from HTTP: judge → commit row and message together → publish → answer. What was
 * answered is durable; Kafka may be down meanwhile, the outbox sends it later.
 */
@Injectable()
export class JobIntake {
  constructor(
    private readonly admission: Admission,
    private readonly own: OwnLoad,
    private readonly jobs: Jobs,
    private readonly preparation: JobPreparation,
    private readonly announcements: Announcements,
    private readonly policy: IntakePolicy,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
    private readonly releases: JobReleases,
    private readonly counter: SubmissionCounter,
    private readonly log: Logger,
  ) {}

  /** @throws ProblemError when the submission is refused, conflicts or cannot be made durable. */
  async take({ submission, ...given }: HttpSubmission): Promise<TakenJob> {
    const judged = judgeSubmission(submission, this.policy.rules);
    if (!judged.ok) throw this.refused(submission.type, judged.refusal);
    return this.takeOrder({ ...given, jobId: submission.job_id }, judged.order);
  }

  /** The same for a job that has been judged. */
  async takeOrder(given: Handover, order: JobOrder): Promise<TakenJob> {
    const untimely = untimelinessOf(order.times, this.clock.now());
    if (untimely !== null) return this.replayOrRefuse(given, order, untimely);
    const { lane } = order;
    const decision = this.admission.decide({ tenant: given.tenant, lane, via: 'http' });
    if (decision.kind === 'refuse') return this.turnAway(given, order, decision);
    const job = await this.prepare(given, order);
    const insertion = await this.own.during(() => this.insert(job, given.context));
    if (insertion.kind === 'unreadable') throw this.unreadable(job);
    if (insertion.kind === 'standing') return this.replay(given, order, insertion.row);
    this.tell(job, insertion);
    this.counter.count({ type: job.type, via: 'http', outcome: 'accepted' });
    this.describe(job, given.context);
    return { view: viewOf(job), replayed: false };
  }

  /** What is told of a submission that may not become a job. */
  refused(type: JobType, refusal: Refusal): ProblemError {
    this.counter.count({ type, via: 'http', outcome: 'refused' });
    return new ProblemError(refusal.code, refusal.detail, refusal.errors);
  }

  private prepare(given: Handover, order: JobOrder): Promise<NewJob> {
    const arrival = {
      tenant: given.tenant,
      source: 'http',
      idempotencyKey: given.idempotencyKey,
      traceparent: traceparentOf(given.context),
      createdAt: this.clock.now(),
      ...(given.forkOf === undefined ? {} : { forkOf: given.forkOf }),
    } as const;
    const id = given.jobId ?? newJobId();
    return this.preparation.prepare(arrival, { id, order }).catch((error: unknown) => {
      throw intakeProblem(error, 'the job could not be stored now, nothing was accepted');
    });
  }

  private insert(job: NewJob, context: Context): Promise<Insertion> {
    const announce = (seq: number | null) =>
      announcementOf(job, seq, { codec: this.codec, context });
    return this.jobs.insertAnnounced({ job, announce }).catch((error: unknown) => {
      throw intakeProblem(error, unknownOutcome);
    });
  }

  private tell(
    job: NewJob,
    insertion: Exclude<Insertion, { kind: 'standing' | 'unreadable' }>,
  ): void {
    switch (insertion.kind) {
      case 'inserted':
        if (insertion.message !== null) this.announcements.publish([insertion.message]);
        return;
      case 'waiting':
        return this.releases.expect(job.runAt);
      default:
        assertNever(insertion);
    }
  }

  /**
   * A job that was accepted before is answered as ever, for one read by key costs less than its
   * sender's next tries. Not while this process itself has too much on its hands.
   */
  private async turnAway(
    given: Handover,
    order: JobOrder,
    refusal: Refused,
  ): Promise<TakenJob> {
    const row = isOfPlatform(refusal.reason) ? await this.findRepeated(given) : null;
    if (row !== null) return this.replay(given, order, row);
    this.counter.count({ type: order.type, via: 'http', outcome: 'refused' });
    throw new RefusedForNow(refusal.code, refusal.detail, refusal.retryAfterSeconds);
  }

  /** A job that was accepted in time is told of, also to one who asks again when time is up. */
  private async replayOrRefuse(
    given: Handover,
    order: JobOrder,
    refusal: Refusal,
  ): Promise<TakenJob> {
    const row = await this.findRepeated(given);
    if (row === null) throw this.refused(order.type, refusal);
    return this.replay(given, order, row);
  }

  private async findRepeated(given: Handover): Promise<StandingJobRow | null> {
    const { idempotencyKey, jobId, tenant } = given;
    const names = { tenant, id: jobId ?? null, idempotencyKey };
    const isNamed = names.id !== null || names.idempotencyKey !== null;
    return isNamed ? this.jobs.findRepeated(names) : null;
  }

  private replay(given: Handover, order: JobOrder, row: StandingJobRow): TakenJob {
    const { requestHash, type } = order;
    const outcome = decideReplay(row, { jobId: given.jobId, requestHash });
    if (outcome === 'conflict') {
      this.counter.count({ type, via: 'http', outcome: 'refused' });
      const detail = `job ${row.id} was made from another body with the same key`;
      throw new ProblemError('idempotency_conflict', detail);
    }
    this.counter.count({ type, via: 'http', outcome: 'replayed' });
    return { view: row.view, replayed: true };
  }

  private unreadable({ id, tenant, type }: NewJob): ProblemError {
    this.counter.count({ type, via: 'http', outcome: 'refused' });
    this.log.error({ job_id: id, tenant }, 'a submission repeats a job that cannot be read');
    return new ProblemError('internal', 'the job was accepted before, and cannot be read');
  }

  private describe(job: NewJob, context: Context): void {
    trace.getSpan(context)?.setAttributes({
      [names.attribute.jobId]: job.id,
      [names.attribute.jobType]: job.type,
    });
    const facts = { event: names.event.jobAccepted, job_id: job.id, tenant: job.tenant };
    this.log.info({ ...facts, type: job.type, via: 'http', context }, 'a job was accepted');
  }
}

function newJobId(): JobId {
  return jobIdSchema.parse(`job_${ulid()}`);
}

function viewOf(job: NewJob): JobView {
  return {
    id: job.id,
    type: job.type,
    status: job.status,
    lane: job.lane,
    session_id: job.sessionId ?? undefined,
    model: job.model ?? undefined,
    created_at: job.createdAt.toISOString(),
    run_at: job.runAt?.toISOString(),
    complete_by: job.completeBy?.toISOString(),
    fork_of: job.forkOf,
    trace_id: traceIdOf(job.traceparent),
  };
}

/** The answer to a commit may be lost after the commit. */
const unknownOutcome =
  'it is not known whether the job was stored: repeat the request with the same Idempotency-Key ' +
  'or job_id; one that has neither may run twice';

function intakeProblem(error: unknown, detail: string): ProblemError {
  if (error instanceof BadRowError) {
    return new ProblemError('invalid_request', 'the database refuses a value of this job');
  }
  return new ProblemError('not_durable', detail);
}
