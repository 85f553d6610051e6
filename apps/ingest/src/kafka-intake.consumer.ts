import {
  PayloadCodec,
  intakeTenantOf,
  laneSchema,
  isTerminal,
  topics,
  assertNever,
  type OutgoingMessage,
  type TenantId,
} from '@millrace/contracts';
import { RawStep, type DeadLetterRequest, type RawRecord, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { Logger, names } from '@millrace/runtime';
import { Controller } from '@nestjs/common';
import { trace } from '@opentelemetry/api';

import { Admission } from './admission.ts';
import { announcementOf } from './announcement.ts';
import { decideReplay } from './core/decide-replay.ts';
import { decodeRecord, type DecodedRecord } from './core/decode-record.ts';
import { laneDefault } from './core/judge-submission.ts';
import { refusedJob, type Arrival, type NewJob } from './core/new-job.ts';
import { JobPreparation } from './job-preparation.ts';
import { JobReleases } from './job-releases.ts';
import { traceparentOf, withTrace } from './job-trace.ts';
import { Clock, IntakePolicy, Jobs, type Insertion, type StandingJobRow } from './ports.ts';
import { SubmissionCounter } from './submission-counter.ts';

/** A record whose job's row is to be inserted. */
interface Readable {
  readonly record: RawRecord;
  readonly job: NewJob;
}

/** A record and what it says. */
interface Decoded {
  readonly record: RawRecord;
  readonly read: DecodedRecord;
}

type DeadLetter = DeadLetterRequest<RawRecord>;

/** How soon records that wait for less load are looked at again: the load is told every second. */
const recheckMs = 2_000;
/** Most urgent first. */
const laneList = laneSchema.options;

/** What one record leads to, once its row is committed. */
type Consequence =
  | { readonly kind: 'publish'; readonly message: OutgoingMessage }
  | { readonly kind: 'dead-letter'; readonly deadLetter: DeadLetter }
  | { readonly kind: 'nothing' };

/**
 * Takes jobs in from the topics of the tenants: decode → commit the rows → publish. The
 * topic is the outbox: a record that comes again finds its row, and what the row says is
 * published again.
 */
@Controller()
export class KafkaIntakeConsumer {
  constructor(
    private readonly admission: Admission,
    private readonly jobs: Jobs,
    private readonly preparation: JobPreparation,
    private readonly policy: IntakePolicy,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
    private readonly releases: JobReleases,
    private readonly counter: SubmissionCounter,
    private readonly log: Logger,
  ) {}

  @RawStep(topics.jobsSubmitted)
  ofDefault(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.take(records);
  }

  @RawStep(topics.tenantSubmitted)
  ofTenant(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.take(records);
  }

  private async take(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    const decoded = records.map((record) => ({
      record,
      read: decodeRecord(record, this.policy.rules),
    }));
    const retryAfterMs = this.waitMs(decoded);
    if (retryAfterMs !== null) return { retryAfterMs };
    const { readable, deadLetters } = await this.sort(decoded);
    const insertions = await this.jobs.insertRecorded(readable.map(({ job }) => job));
    const publish: OutgoingMessage[] = [];
    readable.forEach((item, index) => {
      const consequence = this.consequence(item, insertions[index]);
      switch (consequence.kind) {
        case 'publish':
          publish.push(consequence.message);
          break;
        case 'dead-letter':
          deadLetters.push(consequence.deadLetter);
          break;
        case 'nothing':
          break;
        default:
          assertNever(consequence);
      }
    });
    return { publish, deadLetters };
  }

  /**
   * How long these records, all of one tenant, wait at the door; null when they may come in. What
   * waits in a partition waits in order, so its most urgent job speaks for all of them.
   */
  private waitMs(decoded: readonly Decoded[]): number | null {
    const lanes = decoded.flatMap(({ read }) =>
      read.kind === 'accepted' ? [read.order.lane] : [],
    );
    const [first] = decoded;
    if (first === undefined || lanes.length === 0) return null;
    const lane = laneList.find((one) => lanes.includes(one)) ?? laneDefault;
    const tenant = tenantOf(first.record);
    const decision = this.admission.decide({ tenant, lane, via: 'kafka' });
    if (decision.kind === 'admit') return null;
    const facts = { event: names.event.intakeWaits, tenant, reason: decision.reason };
    this.log.warn({ ...facts, records: decoded.length }, 'records wait for less load');
    return recheckMs;
  }

  private async sort(
    decoded: readonly Decoded[],
  ): Promise<{ readable: Readable[]; deadLetters: DeadLetter[] }> {
    const deadLetters: DeadLetter[] = [];
    const readable: Readable[] = [];
    for (const { record, read } of decoded) {
      switch (read.kind) {
        case 'accepted': {
          const job = await this.preparation.prepare(this.arrivalOf(record), read);
          readable.push({ record, job });
          break;
        }
        case 'refused':
          readable.push({ record, job: refusedJob(this.arrivalOf(record), read.job) });
          break;
        case 'unreadable':
          this.counter.count({ type: 'unknown', via: 'kafka', outcome: 'refused' });
          deadLetters.push({ record, code: read.code, detail: read.detail });
          break;
        default:
          assertNever(read);
      }
    }
    return { readable, deadLetters };
  }

  private arrivalOf(record: RawRecord): Arrival {
    return {
      tenant: tenantOf(record),
      source: 'kafka',
      idempotencyKey: null,
      traceparent: traceparentOf(withTrace(record.context)),
      createdAt: this.clock.now(),
    };
  }

  private consequence(
    item: Readable,
    insertion: PromiseSettledResult<Insertion> | undefined,
  ): Consequence {
    if (insertion === undefined) throw new TypeError('a job without an outcome');
    if (insertion.status === 'rejected') {
      // Anything but a bad row is lost infrastructure: the step comes again with all its records.
      if (!(insertion.reason instanceof BadRowError)) throw insertion.reason;
      const detail = `the database refused the row (${insertion.reason.sqlState})`;
      return this.deadLetter(item, { code: 'bad_row', detail });
    }
    const { value } = insertion;
    const { job, record } = item;
    if (value.kind === 'standing') return this.repeat(item, value.row);
    if (value.kind === 'unreadable') {
      const name = { job_id: job.id, tenant: job.tenant };
      this.log.error(name, 'a record repeats a job that cannot be read');
      const detail = `job ${job.id} was taken before, and its row cannot be read`;
      return this.deadLetter(item, { code: 'internal', detail });
    }
    this.describe(item);
    if (value.kind === 'waiting') {
      this.releases.expect(job.runAt);
      return { kind: 'nothing' };
    }
    return { kind: 'publish', message: this.announce(job, value.seq, record) };
  }

  private repeat(item: Readable, row: StandingJobRow): Consequence {
    const { job, record } = item;
    if (decideReplay(row, { jobId: job.id, requestHash: job.requestHash }) === 'conflict') {
      const detail = `job ${job.id} was made from another body`;
      return this.deadLetter(item, { code: 'idempotency_conflict', detail });
    }
    this.counter.count({ type: row.type, via: 'kafka', outcome: 'replayed' });
    // What waits is told of when it is released.
    if (row.waits) return { kind: 'nothing' };
    // A runner's outbox tells of every end but one: that of a job which was refused here.
    if (isTerminal(row.view.status) && !row.refused) return { kind: 'nothing' };
    return { kind: 'publish', message: this.announce(row, row.seq, record) };
  }

  private announce(
    job: NewJob | StandingJobRow,
    seq: number | null,
    record: RawRecord,
  ): OutgoingMessage {
    return announcementOf(job, seq, { codec: this.codec, context: record.context });
  }

  private deadLetter(
    { record, job }: Readable,
    reason: Pick<DeadLetter, 'code' | 'detail'>,
  ): Consequence {
    this.counter.count({ type: job.type, via: 'kafka', outcome: 'refused' });
    return { kind: 'dead-letter', deadLetter: { record, ...reason } };
  }

  private describe({ job, record }: Readable): void {
    const { type, id, tenant } = job;
    const outcome = job.refused ? 'refused' : 'accepted';
    this.counter.count({ type, via: 'kafka', outcome });
    trace.getSpan(record.context)?.setAttributes({
      [names.attribute.jobId]: id,
      [names.attribute.tenantId]: tenant,
      [names.attribute.jobType]: type,
    });
    const facts = { event: names.event.jobAccepted, job_id: id, tenant, type, via: 'kafka' };
    this.log.info({ ...facts, outcome, context: record.context }, 'a job was taken from Kafka');
  }
}

/** The topic belongs to one tenant; a header that names another is not looked at. */
function tenantOf({ topic }: RawRecord): TenantId {
  const tenant = intakeTenantOf(topic);
  if (tenant === null) throw new TypeError(`${topic} is no tenant's intake topic`);
  return tenant;
}
