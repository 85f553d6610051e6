import {
  attemptSchema,
  jobErrorSchema,
  jobIdSchema,
  jobStatusSchema,
  jobTypeSchema,
  laneSchema,
  sessionIdSchema,
  spendingSchema,
  usageSchema,
  type JobFinished,
  type JobView,
} from '@millrace/contracts';
import { z } from 'zod';

import { isRecord } from './canonical-json.ts';

/** A job row as it is read, its bodies decoded to text. */
export interface JobRecord {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly lane: string;
  readonly sessionId: string | null;
  readonly model: string | null;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  readonly runAt: Date | null;
  readonly completeBy: Date | null;
  readonly traceparent: string;
  readonly metadataJson: string | null;
  readonly outcomeJson: string | null;
  readonly answerJson: string | null;
  readonly redriveOf: string | null;
  readonly forkOf: string | null;
}

/** What a terminal event says beside the answer: small, read with every list. */
export const outcomeSchema = z.object({
  error: jobErrorSchema.optional(),
  usage: usageSchema.optional(),
  attempts: z.array(attemptSchema).optional(),
  stand_in: z.boolean().optional(),
  model: z.string().optional(),
  spent: spendingSchema.optional(),
});
export type Outcome = z.infer<typeof outcomeSchema>;

/** The answer itself: read for one job at a time. */
export const answerSchema = z.object({
  result: z.string().optional(),
  message: z.looseObject({}).optional(),
  message_ref: z.string().optional(),
});
export type Answer = z.infer<typeof answerSchema>;

const metadataSchema = z.record(z.string(), z.string());

/** The two parts in which a terminal event is kept. */
export function partsOf(finished: JobFinished): { outcome: Outcome; answer: Answer | null } {
  const { error, usage, attempts, stand_in, model, spent } = finished;
  const { result, message, message_ref } = finished;
  const hasAnswer = result !== undefined || message !== undefined || message_ref !== undefined;
  return {
    outcome: { error, usage, attempts, stand_in, model, spent },
    answer: hasAnswer ? { result, message, message_ref } : null,
  };
}

/** The id of the trace that a job belongs to. */
export function traceIdOf(traceparent: string): string {
  return traceparent.split('-')[1] ?? '';
}

/** A job as the API shows it. */
export function jobView(job: JobRecord): JobView {
  const outcome = parseOr(outcomeSchema, job.outcomeJson);
  const answer = parseOr(answerSchema, job.answerJson);
  return {
    id: jobIdSchema.parse(job.id),
    type: jobTypeSchema.parse(job.type),
    status: jobStatusSchema.parse(job.status),
    lane: laneSchema.parse(job.lane),
    session_id: job.sessionId === null ? undefined : sessionIdSchema.parse(job.sessionId),
    model: outcome?.model ?? job.model ?? undefined,
    created_at: job.createdAt.toISOString(),
    run_at: job.runAt?.toISOString(),
    complete_by: job.completeBy?.toISOString(),
    finished_at: job.finishedAt?.toISOString(),
    result: answer?.result,
    message: answer?.message,
    error: outcome?.error,
    usage: outcome?.usage,
    attempts: outcome?.attempts,
    stand_in: outcome?.stand_in,
    metadata: parseOr(metadataSchema, job.metadataJson),
    spent: outcome?.spent,
    redrive_of: job.redriveOf === null ? undefined : jobIdSchema.parse(job.redriveOf),
    fork_of: job.forkOf === null ? undefined : jobIdSchema.parse(job.forkOf),
    trace_id: traceIdOf(job.traceparent),
  };
}

/** The same job once its terminal event is known, before its row has followed. */
export function finishedView(view: JobView, finished: JobFinished): JobView {
  const { outcome, answer } = partsOf(finished);
  return {
    ...view,
    status: finished.status,
    finished_at: finished.finished_at,
    model: outcome.model ?? view.model,
    result: answer?.result,
    message: answer?.message,
    error: outcome.error,
    usage: outcome.usage,
    attempts: outcome.attempts,
    stand_in: outcome.stand_in,
    spent: outcome.spent,
  };
}

/** The text of a Messages object: what its text blocks say, one after the other. */
export function textOf(message: Readonly<Record<string, unknown>>): string {
  const content = message['content'];
  if (!Array.isArray(content)) return '';
  return content
    .filter(isRecord)
    .map((block) => (block['type'] === 'text' ? block['text'] : ''))
    .filter((text) => typeof text === 'string')
    .join('');
}

function parseOr<S extends z.ZodType>(schema: S, json: string | null): z.infer<S> | undefined {
  return json === null ? undefined : schema.parse(JSON.parse(json));
}
