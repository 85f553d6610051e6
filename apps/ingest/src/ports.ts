import type {
  ApiKeyView,
  DeadLetterSummary,
  DeadLetterView,
  DocumentManifest,
  DocumentView,
  JobDelivery,
  JobFinished,
  JobId,
  JobStatusChanged,
  JobType,
  JobView,
  OutgoingMessage,
  RedeliveryView,
  SessionId,
  TenantId,
  TerminalStatus,
  TimelineEvent,
  WorkflowAnswer,
} from '@millrace/contracts';
import type { Context } from '@opentelemetry/api';

import type { KeptApiKey } from './core/api-key.ts';
import type { DeadLetterQuery, RedriveSearch } from './core/dead-letter-query.ts';
import type { IndexedLetter, LetterOwner } from './core/dead-letter.ts';
import type { DocumentQuery } from './core/document-upload.ts';
import type { StoredLetter } from './core/redrive.ts';
import type {
  InboundSource,
  InboundSourceState,
  NewInboundSource,
} from './core/inbound-source.ts';
import type { IntakeRules } from './core/judge-submission.ts';
import type { ListCursor, ListQuery } from './core/list-cursor.ts';
import type { NewJob } from './core/new-job.ts';
import type { RunEntry } from './core/live-run.ts';
import type { RedeliveryOrder, RedeliveryQuery } from './core/redelivery.ts';
import type { TenantQuery } from './core/tenant-query.ts';
import type { Tenant, TenantChange } from './core/tenant.ts';
import type { JobHistory } from './core/timeline.ts';
import type { EndedJob } from './core/told-end.ts';

/** A job's name: ids are unique per tenant. */
export interface JobName {
  readonly tenant: TenantId;
  readonly id: JobId;
}

/** A job's name and the day that its rows are kept under, as its events tell it. */
export interface JobPlace extends JobName {
  /** `YYYY-MM-DD`. */
  readonly day: string;
}

/** Makes the message of a job's first event, once the commit has given its place in a session. */
export type Announce = (seq: number | null) => OutgoingMessage;

/** A job to be inserted from HTTP: its message is committed with it. */
export interface JobSubmissionRow {
  readonly job: NewJob;
  readonly announce: Announce;
}

/** A row that was there before, as far as repeating its first event needs it. */
export interface StandingJobRow extends JobName {
  readonly type: JobType;
  readonly view: JobView;
  readonly sessionId: SessionId | null;
  readonly requestHash: Buffer;
  readonly refused: boolean;
  readonly firstEventJson: string;
  readonly traceparent: string;
  readonly createdAt: Date;
  readonly seq: number | null;
  /** It is not released yet. */
  readonly waits: boolean;
}

/** By what a submission may repeat a job: its id, or its idempotency key. */
export interface RepeatedNames {
  readonly tenant: TenantId;
  readonly id: JobId | null;
  readonly idempotencyKey: string | null;
}

export type Insertion =
  | {
      readonly kind: 'inserted';
      readonly seq: number | null;
      /** What the outbox holds and is to be published now; null for rows of Kafka records. */
      readonly message: OutgoingMessage | null;
    }
  /** It was inserted, and is told to nobody before it is released. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'standing'; readonly row: StandingJobRow }
  /** A row stands that cannot be read: somebody has to look. */
  | { readonly kind: 'unreadable' };

/** A job's end, as its terminal event tells it. Bodies are JSON texts; the store encodes them. */
export interface JobEnd extends JobPlace {
  readonly status: TerminalStatus;
  readonly finishedAt: string;
  readonly outcomeJson: string;
  readonly answerJson: string | null;
}

/** What a workflow's job waits for, or that it goes on, as of a version of the workflow. */
export type StatusChange = JobPlace & Pick<JobStatusChanged, 'status' | 'version'>;

/** What became of an end: `late` is one of a job that has ended before. */
export type EndResult = 'ended' | 'late' | 'unknown';

export interface ListedJobs {
  /** One more than the page has says that there is a next one. */
  readonly jobs: readonly JobView[];
  /** Where the look for such jobs was given up; null when there are no others. */
  readonly lookedUntil: ListCursor | null;
}

/** The jobs' rows. Every write is gathered with others into one statement. */
export abstract class Jobs {
  /**
   * Inserts the job and its message, or finds the row that holds its id or idempotency key.
   * @throws BadRowError when the database refuses the row; anything else means: not durable.
   */
  abstract insertAnnounced(row: JobSubmissionRow): Promise<Insertion>;
  /** The same for Kafka records, whose log is their outbox: one outcome per job. */
  abstract insertRecorded(jobs: readonly NewJob[]): Promise<PromiseSettledResult<Insertion>[]>;
  abstract finish(ends: readonly JobEnd[]): Promise<PromiseSettledResult<EndResult>[]>;
  abstract start(started: readonly JobPlace[]): Promise<PromiseSettledResult<void>[]>;
  /** The highest version holds, and a job that has ended keeps its end. */
  abstract changeStatus(
    changes: readonly StatusChange[],
  ): Promise<PromiseSettledResult<void>[]>;
  abstract find(name: JobName): Promise<JobView | null>;
  /** The row with what it published first. */
  abstract findStanding(name: JobName): Promise<StandingJobRow | null>;
  /** The job that holds the idempotency key, else the one that holds the id. */
  abstract findRepeated(names: RepeatedNames): Promise<StandingJobRow | null>;
  /** Puts a message that tells of a job into the outbox. */
  abstract announce(message: OutgoingMessage): Promise<void>;
  abstract list(tenant: TenantId, query: ListQuery): Promise<ListedJobs>;
  /** Turns of a session that were released; null: it has none, or is not there. */
  abstract turnsOf(tenant: TenantId, session: SessionId): Promise<number | null>;
}

/** What an end in ingest commits: the row's end, and the event that tells it. */
export interface ToldEnd {
  readonly finished: JobFinished;
  readonly end: JobEnd;
  readonly message: OutgoingMessage;
}

/** Says what a job's release or expiry publishes. */
export interface ReleaseTeller {
  released(job: StandingJobRow, seq: number | null): OutgoingMessage;
  expired(job: StandingJobRow): ToldEnd;
}

/** Which row is meant, whatever else it holds. */
export interface RowName {
  readonly tenant: string;
  readonly id: string;
}

/** What was released or ended by one commit. Its messages are in the outbox. */
export interface ReleasedBatch {
  readonly released: number;
  /** Jobs that cannot be read, which are put off: somebody has to look. */
  readonly unreadable: readonly RowName[];
  readonly ended: readonly ToldEnd[];
  readonly messages: readonly OutgoingMessage[];
}

/** Jobs that wait for their `run_at`. Which are due is told by the database's clock. */
export abstract class Releases {
  /** Releases up to `limit` jobs that are due; those whose `complete_by` has passed end instead. */
  abstract releaseDue(limit: number, teller: ReleaseTeller): Promise<ReleasedBatch>;
  /** Until the next job is due, negative when it is; null when none waits. */
  abstract nextDueInMs(): Promise<number | null>;
  /** @returns whether the job waited and has ended by this: nobody will run it. */
  abstract end(told: ToldEnd): Promise<boolean>;
}

/** Requests that were published again by one commit. They are in the outbox. */
export interface Republished {
  readonly messages: readonly OutgoingMessage[];
  /** Jobs that were given up: somebody has to look. */
  readonly givenUp: readonly RowName[];
  /** Jobs that cannot be read, which come again later: somebody has to look. */
  readonly unreadable: readonly RowName[];
}

/** Released jobs that have not ended in time. What is late is told by the database's clock. */
export abstract class SilentJobs {
  /** Looks through jobs that have become old enough. @returns how many of them are silent. */
  abstract note(): Promise<number>;
  /** Until the next request may be published again, negative when it is due. */
  abstract nextDueInMs(): Promise<number | null>;
  /** Takes up to `limit` of the requests that are due, unless another process just did. */
  abstract republishDue(
    limit: number,
    announce: (job: StandingJobRow) => OutgoingMessage,
  ): Promise<Republished>;
}

/** What a redrive leaves behind: a job that was made, or a message that is to be sent. */
export interface Redrive {
  readonly jobId: JobId | null;
  readonly message: OutgoingMessage | null;
}

/** Something that happened to a job, for its timeline. */
export interface KeptEvent extends JobPlace {
  readonly event: TimelineEvent;
}

/** A job's history as its tables tell it. */
export interface FoundHistory {
  readonly place: JobPlace;
  readonly type: JobType;
  readonly traceId: string;
  /** As many events are kept as may be: some may have been left out. */
  readonly isFull: boolean;
  readonly history: JobHistory;
}

/** What was told to those who followed a job until its end. */
export interface ToldRun extends JobName {
  readonly json: string;
  readonly finishedAt: string;
}

/** What was told of jobs that have ended, as far as their rows do not have it, for a day. */
export abstract class ToldRuns {
  /** Idempotent: the longer one of a job stays. */
  abstract keep(runs: readonly ToldRun[]): Promise<void>;
  /** In the order in which it was told; nothing when nothing is kept. */
  abstract find(name: JobName): Promise<readonly RunEntry[]>;
  /** Deletes what is older than a day. @returns how many jobs' it was. */
  abstract purge(): Promise<number>;
}

/** What happened to jobs. */
export abstract class JobTimelines {
  /** Idempotent by job and cause. */
  abstract keep(events: readonly KeptEvent[]): Promise<void>;
  abstract find(name: JobName): Promise<FoundHistory | null>;
}

/** A request to another service, by its internal API. */
export interface InternalRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body?: string;
  readonly context: Context;
}

export interface InternalAnswer {
  readonly status: number;
  readonly body: string;
}

/** A service that is asked while somebody waits. */
export abstract class InternalService {
  /** Null when it did not answer: never throws. */
  abstract ask(request: InternalRequest): Promise<InternalAnswer | null>;
}

/** tool-runner's, which keeps the tools of tenants. */
export abstract class ToolRegistry extends InternalService {}

/** webhook-dispatcher's, which keeps the webhook endpoints of tenants and what was sent to them. */
export abstract class WebhookManagement extends InternalService {}

/** A job and the time of its acceptance, as its events tell it. */
export interface AcceptedJob extends JobName {
  readonly createdAt: string;
}

export type FoundWorkflow =
  | { readonly kind: 'found'; readonly workflow: WorkflowAnswer }
  /** It has not begun, or there is none. */
  | { readonly kind: 'unknown' }
  /** It could not be asked. */
  | { readonly kind: 'away' };

/** What agent-orchestrator knows of the runs of jobs. */
export abstract class Workflows {
  /** Never throws. */
  abstract find(job: AcceptedJob, context: Context): Promise<FoundWorkflow>;
  /** The same without its steps and what its sub-agents ask for: cheap, however long the run is. */
  abstract standing(job: AcceptedJob, context: Context): Promise<FoundWorkflow>;
}

/** What webhook-dispatcher knows of a job's webhooks. */
export abstract class DeliveryLog {
  /** Null when it could not be asked: never throws. */
  abstract deliveriesOf(job: JobPlace, context: Context): Promise<readonly JobDelivery[] | null>;
}

/** A letter that a bulk redrive has found. */
export interface FoundLetter {
  readonly id: string;
  readonly at: Date;
  /** Orders those of one moment as their records lay. */
  readonly place: string;
  readonly redriveCount: number;
}

/** What lies in the dead letter topics. */
export abstract class DeadLetters {
  /** Idempotent by id. */
  abstract index(letters: readonly IndexedLetter[]): Promise<void>;
  /** A page and one more, which says that there is a next page. */
  abstract list(owner: LetterOwner, query: DeadLetterQuery): Promise<DeadLetterSummary[]>;
  /** Up to so many as the search says, and one more if there are more. */
  abstract search(owner: LetterOwner, search: RedriveSearch): Promise<FoundLetter[]>;
  abstract find(owner: LetterOwner, id: string): Promise<DeadLetterView | null>;
  abstract findStored(owner: LetterOwner, id: string): Promise<StoredLetter | null>;
  /**
   * Counts one redrive more and puts its message into the outbox, together.
   * @returns the letter as it now is; null when it was redriven since it was read.
   */
  abstract markRedriven(letter: StoredLetter, redrive: Redrive): Promise<StoredLetter | null>;
}

/** A document whose pieces are written. */
export interface NewDocument {
  readonly id: string;
  readonly name: string | undefined;
  readonly manifest: DocumentManifest;
}

/** Uploaded documents. */
export abstract class Documents {
  /** Whether the tenant may have one more, as far as is known before it is there. */
  abstract hasRoom(tenant: TenantId): Promise<boolean>;
  abstract putPiece(
    tenant: TenantId,
    piece: { id: string; index: number; bytes: Buffer },
  ): Promise<void>;
  /** Deletes what was written of an upload that came to nothing. */
  abstract discard(tenant: TenantId, upload: { id: string; pieces: number }): Promise<void>;
  /** Null when the tenant has as many as it may have. */
  abstract create(tenant: TenantId, document: NewDocument): Promise<DocumentView | null>;
  /** A page and one more, which says that there is a next page. */
  abstract list(tenant: TenantId, query: DocumentQuery): Promise<DocumentView[]>;
  abstract find(tenant: TenantId, id: string): Promise<DocumentView | null>;
  /** @returns whether there was one. */
  abstract remove(tenant: TenantId, id: string): Promise<boolean>;
  /** Deletes the rows of what has expired, everybody's. */
  abstract purge(): Promise<void>;
}

/** A redelivery that is asked for. */
export interface NewRedelivery {
  readonly tenant: TenantId;
  readonly id: string;
  readonly order: RedeliveryOrder;
  readonly createdAt: Date;
}

export type RedeliveryStart =
  | { readonly kind: 'started'; readonly view: RedeliveryView }
  /** The same was asked for before: by its id, or it runs. */
  | { readonly kind: 'standing'; readonly view: RedeliveryView }
  /** Its id is that of another one. */
  | { readonly kind: 'conflict' }
  /** Another one of the tenant runs. */
  | { readonly kind: 'busy'; readonly id: string }
  | { readonly kind: 'limit' };

/** An ended job with the trace that it belongs to. */
export interface EndedJobRow extends EndedJob {
  readonly traceparent: string;
}

/** What one step of one redelivery has told. Its messages are in the outbox. */
export interface RedeliveryStep {
  readonly tenant: TenantId;
  readonly view: RedeliveryView;
  readonly messages: readonly OutgoingMessage[];
  /** Jobs whose rows do not tell an end that could be published. */
  readonly untold: readonly string[];
}

/** Wishes to be told again how jobs ended. What is due is told by the database's clock. */
export abstract class Redeliveries {
  abstract start(redelivery: NewRedelivery): Promise<RedeliveryStart>;
  abstract find(tenant: TenantId, id: string): Promise<RedeliveryView | null>;
  /** A page and one more, which says that there is a next page. */
  abstract list(tenant: TenantId, query: RedeliveryQuery): Promise<RedeliveryView[]>;
  /** Whether any of them runs, of whichever tenant. */
  abstract isAnyRunning(): Promise<boolean>;
  /**
   * Goes one step on with the redelivery that has waited for the longest.
   * @param tell makes the event of an end; null when that cannot be.
   * @returns null when it is not time, or another process is at it.
   */
  abstract step(tell: (job: EndedJobRow) => OutgoingMessage | null): Promise<RedeliveryStep | null>;
  /** Deletes those that ended long ago, everybody's. */
  abstract forgetOld(): Promise<void>;
}

/** Bodies too large for an event. */
export abstract class LargeBodies {
  /** Idempotent by id. */
  abstract keep(tenant: TenantId, id: string, body: string): Promise<void>;
  /** Null when it has expired. */
  abstract read(tenant: TenantId, id: string): Promise<string | null>;
  /** Deletes what has expired, everybody's, and says how many pieces that were. */
  abstract purge(): Promise<number>;
}

export abstract class ApiKeys {
  /** The tenant whose key has this hash; null when nobody's, revoked, or of a disabled tenant. */
  abstract findTenant(hash: Buffer): Promise<TenantId | null>;
  /** Null when the tenant has as many keys as it may have. The tenant must be known. */
  abstract create(
    tenant: TenantId,
    key: KeptApiKey & { readonly label: string },
  ): Promise<ApiKeyView | null>;
  /** A page and one more, which says that there is a next page. */
  abstract list(tenant: TenantId, query: TenantQuery): Promise<ApiKeyView[]>;
  /** Idempotent. Null when the tenant has no such key. */
  abstract revoke(tenant: TenantId, id: string): Promise<ApiKeyView | null>;
}

/** Makes the message that tells of a tenant's state. */
export type TellTenant = (tenant: Tenant) => OutgoingMessage;

/** A tenant as it now is, and what the outbox holds of it; null when nothing changed. */
export interface Told {
  readonly tenant: Tenant;
  readonly message: OutgoingMessage | null;
}

export type TenantCreation =
  | ({ readonly kind: 'created' } & Told)
  | { readonly kind: 'known' }
  | { readonly kind: 'limit' };

/** A tenant as its topic is to be treated. */
export interface TenantIntake {
  readonly tenant: TenantId;
  readonly disabled: boolean;
}

/** The tenants' rows. With every change the message that tells of it is in the outbox. */
export abstract class Tenants {
  abstract create(id: TenantId, secret: string, tell: TellTenant): Promise<TenantCreation>;
  /** Makes the tenant and its key or brings them up to date: what the deployment gives. */
  abstract keep(
    id: TenantId,
    given: { readonly secret: string; readonly key: KeptApiKey },
    tell: TellTenant,
  ): Promise<Told>;
  /** Decides over the row as it is and holds it meanwhile. Null when there is no such tenant. */
  abstract change(
    id: TenantId,
    decide: (tenant: Tenant) => TenantChange | null,
    tell: TellTenant,
  ): Promise<Told | null>;
  abstract find(id: TenantId): Promise<Tenant | null>;
  /** A page and one more, which says that there is a next page. */
  abstract list(query: TenantQuery): Promise<Tenant[]>;
  /** All of them. */
  abstract intakes(): Promise<TenantIntake[]>;
  /** By id, those whose secrets are not sealed under the first key; none without a key. */
  abstract sealedOtherwise(after: TenantId | null, limit: number): Promise<TenantId[]>;
}

/** Sends what a commit has put into the outbox. Never throws: a sweep sends what is left. */
export abstract class Announcements {
  abstract publish(messages: readonly OutgoingMessage[]): void;
}

/** What is told live of running jobs, as far as it has come to this process. */
export abstract class LiveFeed {
  /**
   * Resolves when what had been told before is known here, or when that takes too long.
   * @param withinMs for whom the usual time is too long
   */
  abstract caughtUp(withinMs?: number): Promise<void>;
}

export abstract class Clock {
  abstract now(): Date;
}

/** Where webhooks of other systems come in. */
export abstract class InboundSources {
  /** One that takes webhooks now, whosever it is; null for any other. */
  abstract receiving(id: string): Promise<InboundSource | null>;
  /** @returns null when the tenant has as many as it may. */
  abstract create(source: NewInboundSource): Promise<InboundSource | null>;
  abstract find(tenant: TenantId, id: string): Promise<InboundSource | null>;
  /** Newest first; one more than the page has, if there is one. */
  abstract list(tenant: TenantId, query: TenantQuery): Promise<InboundSource[]>;
  /** @returns null when it has changed since it was read, or is gone. */
  abstract change(source: InboundSource, to: InboundSourceState): Promise<InboundSource | null>;
  abstract remove(tenant: TenantId, id: string): Promise<boolean>;
}

/** What this deployment lets in. */
export abstract class IntakePolicy {
  abstract readonly rules: IntakeRules;
}
