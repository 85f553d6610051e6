import {
  assertNever,
  jobDayOf,
  jobIdSchema,
  PayloadCodec,
  type JobId,
  type OutgoingMessage,
  type RedriveView,
  type TenantId,
} from '@millrace/contracts';
import { BadRowError } from '@millrace/postgres';
import { Logger, names } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { announcementOf } from './announcement.ts';
import type { LetterOwner } from './core/dead-letter.ts';
import { redriveJobId } from './core/job-ids.ts';
import { ProblemError } from './core/problem.ts';
import {
  orderAgain,
  planRedrive,
  readJson,
  type JobRequest,
  type StoredLetter,
} from './core/redrive.ts';
import { JobPreparation } from './job-preparation.ts';
import { traceparentOf } from './job-trace.ts';
import {
  Announcements,
  Clock,
  DeadLetters,
  Jobs,
  JobTimelines,
  LargeBodies,
  type JobName,
} from './ports.ts';

/**
 * Bytes of records on their way to Kafka right after their commit: sixteen of the largest. What
 * comes above is left to the outbox's sweep, which reads them again.
 */
const bytesInFlightMax = 16 * 1024 * 1024;

export interface RedriveRequest {
  readonly owner: LetterOwner;
  readonly id: string;
  /** The count that the caller has seen. */
  readonly after: number;
  /** Of the request's span. */
  readonly context: Context;
}

/** A job that is to be done again, and whose it is. */
interface Repetition {
  readonly tenant: TenantId;
  readonly request: JobRequest;
}

/** `replayed`: it was done before this request. */
export interface Redriven {
  readonly view: RedriveView;
  readonly replayed: boolean;
}

/**
 * Tries again what was given up, once for each count of its letter:
 * - a record goes into the outbox with the count: of two requests one wins, one publishes;
 * - a job is inserted first, under an id that letter and count give, then told in the timeline of
 *   the failed one, and counted last: after a crash in between the repeated request finds both.
 */
@Injectable()
export class DeadLetterRedrive {
  private bytesInFlight = 0;

  constructor(
    private readonly letters: DeadLetters,
    private readonly jobs: Jobs,
    private readonly timelines: JobTimelines,
    private readonly bodies: LargeBodies,
    private readonly preparation: JobPreparation,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
    private readonly log: Logger,
  ) {}

  /**
   * Null when the owner has no such letter.
   * @throws ProblemError when it cannot be redriven, or was redriven since the caller looked.
   */
  async redrive(request: RedriveRequest): Promise<Redriven | null> {
    const letter = await this.letters.findStored(request.owner, request.id);
    if (letter === null) return null;
    if (letter.redriveCount !== request.after) return replayedOf(letter, request.after);
    const { jobId, message } = await this.prepare(letter, request.context);
    const marked = await this.letters.markRedriven(letter, { jobId, message });
    if (marked !== null) {
      if (message !== null) this.publish(message);
      this.describe(letter, request.context);
    }
    const now = marked ?? (await this.letters.findStored(request.owner, request.id)) ?? letter;
    return { ...replayedOf(now, request.after), replayed: marked === null };
  }

  private async prepare(
    letter: StoredLetter,
    context: Context,
  ): Promise<{ jobId: JobId | null; message: OutgoingMessage | null }> {
    const plan = planRedrive(letter);
    switch (plan.kind) {
      case 'publish':
        return { jobId: null, message: plan.message };
      case 'do_again':
        return { jobId: await this.doAgain(letter, plan, context), message: null };
      case 'refused':
        throw new ProblemError('invalid_request', plan.detail);
      default:
        return assertNever(plan);
    }
  }

  private async doAgain(
    letter: StoredLetter,
    { request, tenant }: Repetition,
    context: Context,
  ): Promise<JobId> {
    const made = await this.makeJob(letter, { request, tenant }, context);
    await this.tellIn({ tenant, id: request.call_id }, made);
    return made;
  }

  /** The first redrive to this job stays: one that is repeated is the same event. */
  private async tellIn(failed: JobName, made: JobId): Promise<void> {
    const job = await this.jobs.find(failed);
    // A letter may outlive its job, and then nobody can ask what happened to it.
    if (job === null) return;
    const event = { kind: 'redriven', at: this.clock.now().toISOString(), job_id: made } as const;
    await this.timelines.keep([{ ...failed, day: jobDayOf(job.created_at), event }]);
  }

  private async makeJob(
    letter: StoredLetter,
    { request, tenant }: Repetition,
    context: Context,
  ): Promise<JobId> {
    const arrival = {
      tenant,
      source: 'http',
      idempotencyKey: null,
      traceparent: traceparentOf(context),
      createdAt: this.clock.now(),
      redriveOf: request.call_id,
    } as const;
    const order = orderAgain(request, { params: await this.paramsOf(request), letter });
    const id = redriveJobId(letter.id, letter.redriveCount + 1);
    const job = await this.preparation.prepare(arrival, { id, order });
    const announce = (seq: number | null) =>
      announcementOf(job, seq, { codec: this.codec, context });
    const insertion = await this.jobs.insertAnnounced({ job, announce }).catch((error: unknown) => {
      if (!(error instanceof BadRowError)) throw error;
      throw new ProblemError('invalid_request', 'the database refuses a value of this job');
    });
    if (insertion.kind === 'inserted' && insertion.message !== null) {
      this.announcements.publish([insertion.message]);
    }
    return id;
  }

  private async paramsOf(request: JobRequest): Promise<Readonly<Record<string, unknown>>> {
    if (request.params !== undefined) return request.params;
    const ref = request.params_ref;
    const body = ref === undefined ? null : await this.bodies.read(request.tenant, ref);
    const params = readJson(body);
    if (params !== null) return params;
    throw new ProblemError('not_found', 'the parameters of this job are kept no longer');
  }

  private publish(message: OutgoingMessage): void {
    const bytes = message.value?.length ?? 0;
    if (this.bytesInFlight + bytes > bytesInFlightMax) return;
    this.bytesInFlight += bytes;
    const onSettled = () => void (this.bytesInFlight -= bytes);
    this.announcements.publish([{ ...message, onSettled }]);
  }

  private describe(letter: StoredLetter, context: Context): void {
    const facts = { event: names.event.deadLetterRedriven, tenant: letter.tenant };
    const { id: dead_letter_id, topic } = letter;
    this.log.info({ ...facts, dead_letter_id, topic, context }, 'a dead letter was redriven');
  }
}

/** What the redrive after this count came to. @throws ProblemError when it is not the last one. */
function replayedOf(letter: StoredLetter, after: number): Redriven {
  const { redriveCount, redrivenAt, redriveJobId: jobId } = letter;
  if (redriveCount !== after + 1 || redrivenAt === null) {
    const detail = `it was redriven ${redriveCount} times: read it, and say so by \`after\``;
    throw new ProblemError('changed_meanwhile', detail);
  }
  const view = {
    dead_letter_id: letter.id,
    redrive_count: redriveCount,
    redriven_at: redrivenAt.toISOString(),
    job_id: jobId === null ? undefined : jobIdSchema.parse(jobId),
  };
  return { view, replayed: true };
}
