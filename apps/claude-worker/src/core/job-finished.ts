import {
  assertNever,
  type Attempt,
  type JobFinished,
  type JobReply,
  sessionIdSchema,
  type TerminalStatus,
} from '@millrace/contracts';

import { type Call, type CallRequest, jobIdOf } from './call.ts';
import { type ClaudeMessage, modelOf, textOf, usageOf } from './claude-message.ts';
import type { ClosedAttempt, Settlement } from './settle-call.ts';

/** Attempts that a completion tells, the latest ones: a gated call may have had hundreds. */
const attemptsToldMax = 20;
/** Seconds that a message in `blobs` is kept: as long as the job. */
export const messageTtlSeconds = 30 * 86_400;

/** A settlement that ends the job. */
export type Ending = Exclude<Settlement, { kind: 'again' | 'unsent' }>;

export function isEnding(settlement: Settlement): settlement is Ending {
  return settlement.kind !== 'again' && settlement.kind !== 'unsent';
}

export function statusOf(ending: Ending): TerminalStatus {
  return ending.kind;
}

/** The answer that a job's end carries, if any. */
export function messageOf(ending: Ending): ClaudeMessage | null {
  switch (ending.kind) {
    case 'succeeded':
    case 'failed':
      return ending.message;
    case 'cancelled':
    case 'expired':
      return null;
    default:
      return assertNever(ending);
  }
}

/** The part of a call that its end tells. */
export type AttemptedCall = CallRequest &
  Pick<Call, 'attempt' | 'dispatchedAtMs' | 'closedAttempts'>;

/** The attempt that was just closed, as the public API shows it. */
export function toldAttempt(
  call: AttemptedCall,
  attempt: ClosedAttempt,
  endedAtMs: number,
): Attempt {
  const { code, outcome, source } = attempt;
  return {
    number: call.attempt,
    outcome,
    ...(code === null ? {} : { code }),
    ...(source.httpStatus === null ? {} : { http_status: source.httpStatus }),
    started_at: new Date(call.dispatchedAtMs).toISOString(),
    ended_at: new Date(endedAtMs).toISOString(),
    ...(source.requestId === null ? {} : { request_id: source.requestId }),
  };
}

/** How a call ended, with all that is told of it. */
export interface CallEnd {
  readonly call: AttemptedCall;
  readonly ending: Ending;
  readonly finishedAtMs: number;
  /** Where the message lies, when it is too large to travel. */
  readonly messageRef: string | null;
}

/** Attempts that a call's end tells, oldest first. */
export function toldAttempts({ call, ending, finishedAtMs }: CallEnd): Attempt[] {
  const last =
    ending.attempt === null ? [] : [toldAttempt(call, ending.attempt, finishedAtMs)];
  return [...call.closedAttempts, ...last].slice(-attemptsToldMax);
}

/** The one terminal event of a message job. */
export function jobFinished(end: CallEnd, reply: JobReply): JobFinished {
  const { call, ending, finishedAtMs, messageRef } = end;
  const message = messageOf(ending);
  return {
    tenant: call.tenant,
    job_id: jobIdOf(call),
    type: 'message',
    status: statusOf(ending),
    ...(call.session === null ? {} : { session_id: sessionIdSchema.parse(call.session.sessionId) }),
    ...answerFields(ending, message, messageRef),
    ...errorFields(ending),
    attempts: toldAttempts(end),
    ...(ending.attempt?.source.standIn === true ? { stand_in: true } : {}),
    ...(reply.callback === undefined ? {} : { callback: reply.callback }),
    ...(reply.metadata === undefined ? {} : { metadata: reply.metadata }),
    ...(reply.redrive_of === undefined ? {} : { redrive_of: reply.redrive_of }),
    created_at: reply.created_at,
    finished_at: new Date(finishedAtMs).toISOString(),
  };
}

type AnswerFields = Pick<JobFinished, 'model' | 'result' | 'message' | 'message_ref' | 'usage'>;

function answerFields(
  ending: Ending,
  message: ClaudeMessage | null,
  messageRef: string | null,
): AnswerFields {
  if (message === null) return {};
  const model = modelOf(message);
  const usage = usageOf(message);
  const inline = ending.kind === 'succeeded' ? { result: textOf(message), message } : { message };
  return {
    ...(model === undefined ? {} : { model }),
    ...(messageRef === null ? inline : { message_ref: messageRef }),
    ...(usage === undefined ? {} : { usage }),
  };
}

/** Why there is no answer, if there is none. */
export function errorFields(ending: Ending): Pick<JobFinished, 'error'> {
  switch (ending.kind) {
    case 'succeeded':
      return {};
    case 'failed':
      return { error: { code: ending.code, detail: ending.detail } };
    case 'cancelled':
      return { error: { code: 'cancelled', detail: 'the job was cancelled' } };
    case 'expired':
      return { error: { code: 'deadline_exceeded', detail: 'complete_by has passed' } };
    default:
      return assertNever(ending);
  }
}
