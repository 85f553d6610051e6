import { createHash } from 'node:crypto';

import type {
  Budget,
  ErrorCode,
  JobSubmission,
  JobType,
  Lane,
  SessionId,
  WorkflowRequested,
} from '@millrace/contracts';

import { canonicalJson } from './canonical-json.ts';
import type { FieldError } from './field-error.ts';
import { disorderOf, timesOf, type JobTimes } from './job-times.ts';
import { judgeParams, type JudgedParams } from './judge-params.ts';

/** What a service of this kind was told to allow; the same for every intake. */
export interface IntakeRules {
  readonly defaultModel: string;
  readonly checkUrl: (raw: string) => UrlVerdict;
}

export type UrlVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: 'unsafe_callback_url'; readonly detail: string };

/** A job that may be run: complete, and judged by everything that is known before it runs. */
export interface JobOrder {
  readonly type: JobType;
  readonly lane: Lane;
  readonly sessionId: SessionId | undefined;
  readonly model: string | undefined;
  readonly stream: boolean;
  /** What others wrote is among the parameters. */
  readonly tainted: boolean;
  readonly params: Readonly<Record<string, unknown>>;
  readonly callbackUrl: string | undefined;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  /** Of a message there is none. */
  readonly budget: Budget | undefined;
  readonly times: JobTimes;
  /** The first steps of another run, which this one takes over. */
  readonly fork?: WorkflowRequested['fork'];
  readonly requestHash: Buffer;
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly errors: readonly FieldError[];
}

export type Judgement =
  | { readonly ok: true; readonly order: JobOrder }
  | { readonly ok: false; readonly refusal: Refusal };

/** Decides whether a well-formed submission may become a job, and completes it. */
export function judgeSubmission(submission: JobSubmission, rules: IntakeRules): Judgement {
  if (submission.callback_url !== undefined) {
    const verdict = rules.checkUrl(submission.callback_url);
    if (!verdict.ok) return unsafeUrl(verdict.detail);
  }
  const checked = judgeParams(submission, rules);
  if (!checked.ok) return checked;
  const disorder = disorderOf(timesOf(submission));
  if (disorder !== null) return { ok: false, refusal: disorder };
  return { ok: true, order: orderOf(submission, checked) };
}

/**
 * What makes two submissions the same: their content, whatever the order of the keys, without the
 * job's id and without what is filled in here (a new default model is no conflict).
 */
export function requestHash(submission: Omit<JobSubmission, 'job_id'>): Buffer {
  const { type, params, prompt, callback_url, session_id, metadata, budget } = submission;
  const lane = submission.lane ?? laneDefault;
  const { runAt, completeBy } = timesOf(submission);
  // Moments, however they were written.
  const times = { run_at: runAt?.toISOString(), complete_by: completeBy?.toISOString() };
  const content = { type, params, prompt, callback_url, session_id, lane, metadata, budget };
  return hashOf({ ...content, ...times });
}

/** The hash of a body that is no submission, so that its redelivery is known. */
export function hashOf(content: unknown): Buffer {
  return createHash('sha256').update(canonicalJson(content)).digest();
}

export const laneDefault: Lane = 'standard';

function orderOf(
  submission: JobSubmission,
  checked: Extract<JudgedParams, { ok: true }>,
): JobOrder {
  return {
    type: submission.type,
    lane: submission.lane ?? laneDefault,
    sessionId: submission.session_id,
    model: checked.model,
    stream: checked.stream,
    tainted: checked.tainted,
    params: checked.params,
    callbackUrl: submission.callback_url,
    metadata: submission.metadata,
    budget: submission.budget,
    times: timesOf(submission),
    requestHash: requestHash(submission),
  };
}

function unsafeUrl(detail: string): Judgement {
  const errors = [{ path: 'callback_url', message: detail }];
  return { ok: false, refusal: { code: 'unsafe_callback_url', detail, errors } };
}
