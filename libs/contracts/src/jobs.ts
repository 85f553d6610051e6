import { z } from 'zod';

import { budgetSchema, spendingSchema } from './budgets.ts';
import { errorCodeSchema, fieldErrorSchema } from './errors.ts';
import { jobIdSchema, sessionIdSchema } from './ids.ts';
import {
  callbackUrlLengthMax,
  jobBatchMax,
  metadataEntriesMax,
  metadataValueLengthMax,
} from './limits.ts';

export const jobTypes = ['message', 'agent', 'document'] as const;
export const jobTypeSchema = z.enum(jobTypes);
export type JobType = z.infer<typeof jobTypeSchema>;

export const laneSchema = z.enum(['interactive', 'standard', 'bulk']);
export type Lane = z.infer<typeof laneSchema>;

export const jobStatuses = [
  'queued',
  'running',
  'awaiting_approval',
  'awaiting_budget',
  'awaiting_signal',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
] as const;
export const jobStatusSchema = z.enum(jobStatuses);
export type JobStatus = z.infer<typeof jobStatusSchema>;

export const terminalStatuses = ['succeeded', 'failed', 'cancelled', 'expired'] as const;
export const terminalStatusSchema = z.enum(terminalStatuses);
export type TerminalStatus = z.infer<typeof terminalStatusSchema>;

export function isTerminal(status: JobStatus): status is TerminalStatus {
  return terminalStatuses.some((terminal) => terminal === status);
}

const metadataSchema = z
  .record(z.string().min(1).max(64), z.string().max(metadataValueLengthMax))
  .refine((metadata) => Object.keys(metadata).length <= metadataEntriesMax, {
    message: `at most ${metadataEntriesMax} entries`,
  });

/**
 * The Messages API's own parameters, unchanged; what the model refuses is found by ingest's
 * preflight. Loose on purpose: a parameter that is new there needs no release here.
 */
export const messageParamsSchema = z
  .looseObject({
    model: z.string().min(1).max(128).optional(),
    max_tokens: z.int().positive().optional(),
    messages: z
      .array(z.looseObject({ role: z.enum(['user', 'assistant', 'system']) }))
      .min(1)
      .max(10_000),
    system: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]).optional(),
    stream: z.boolean().optional(),
    metadata: z.looseObject({}).optional(),
  })
  .meta({
    id: 'MessageParams',
    description: 'Parameters of the Messages API, unchanged. `stream: true` streams the tokens.',
  });
export type MessageParams = z.infer<typeof messageParamsSchema>;

const submissionFields = {
  job_id: jobIdSchema.optional(),
  prompt: z.string().min(1).optional(),
  callback_url: z.string().min(1).max(callbackUrlLengthMax).optional(),
  session_id: sessionIdSchema
    .optional()
    .describe('The conversation of a message; to an agent or a document it is a label.'),
  lane: laneSchema.optional(),
  metadata: metadataSchema.optional(),
  trace_content: z.literal(false).optional(),
};

/** A moment as callers write it: RFC 3339, with any offset. */
export const momentSchema = z.iso.datetime({ offset: true });

/** What a system hands over: exactly one of `params` and `prompt`. */
export const jobSubmissionSchema = z
  .strictObject({
    type: jobTypeSchema.default('message'),
    params: z.looseObject({}).optional(),
    run_at: momentSchema
      .optional()
      .describe('The job waits until then, 14 days at most. A time that has passed means now.'),
    complete_by: momentSchema
      .optional()
      .describe('A job that has not ended by then ends as `expired`. Within 30 days.'),
    budget: budgetSchema
      .optional()
      .describe('What an agent or a document may spend at most; a message is one call.'),
    ...submissionFields,
  })
  .refine((job) => (job.params === undefined) !== (job.prompt === undefined), {
    message: 'give exactly one of params and prompt',
    path: ['params'],
  })
  .refine((job) => job.type !== 'message' || job.budget === undefined, {
    message: 'a job of type message has none',
    path: ['budget'],
  })
  .meta({ id: 'JobSubmission' });
export type JobSubmission = z.infer<typeof jobSubmissionSchema>;

/** The bare form that upstream systems publish without CloudEvents headers. */
export const bareSubmissionSchema = z
  .strictObject({
    job_id: jobIdSchema.optional(),
    prompt: z.string().min(1),
    callback_url: submissionFields.callback_url,
    submitted_at: z.union([z.string().max(64), z.number()]).optional(),
  })
  .meta({ id: 'BareSubmission' });
export type BareSubmission = z.infer<typeof bareSubmissionSchema>;

/** `POST /v1/stream`: the article's streaming pattern. */
export const streamRequestSchema = z
  .strictObject({
    prompt: z.string().min(1).optional(),
    params: z.looseObject({}).optional(),
    session_id: sessionIdSchema.optional(),
    callback_url: submissionFields.callback_url,
    metadata: submissionFields.metadata,
  })
  .refine((job) => (job.params === undefined) !== (job.prompt === undefined), {
    message: 'give exactly one of params and prompt',
    path: ['prompt'],
  })
  .meta({ id: 'StreamRequest' });
export type StreamRequest = z.infer<typeof streamRequestSchema>;

/** Token counts as the Messages API reports them; `input_tokens` is the uncached rest. */
export const usageSchema = z
  .looseObject({
    input_tokens: z.int().nonnegative(),
    output_tokens: z.int().nonnegative(),
    cache_creation_input_tokens: z.int().nonnegative().nullish(),
    cache_read_input_tokens: z.int().nonnegative().nullish(),
  })
  .meta({ id: 'Usage' });
export type Usage = z.infer<typeof usageSchema>;

/** One HTTP send to Claude. `outcome: unknown` may have been paid. */
export const attemptSchema = z
  .object({
    number: z.int().positive(),
    outcome: z.enum(['succeeded', 'failed', 'unknown']),
    code: z.string().optional(),
    http_status: z.int().optional(),
    started_at: z.iso.datetime(),
    ended_at: z.iso.datetime(),
    request_id: z.string().optional(),
  })
  .meta({ id: 'Attempt' });
export type Attempt = z.infer<typeof attemptSchema>;

export const jobErrorSchema = z
  .object({ code: errorCodeSchema, detail: z.string() })
  .meta({ id: 'JobError' });
export type JobError = z.infer<typeof jobErrorSchema>;

/** A job as `GET /v1/jobs/{id}` shows it. */
export const jobViewSchema = z
  .object({
    id: jobIdSchema,
    type: jobTypeSchema,
    status: jobStatusSchema,
    lane: laneSchema,
    session_id: sessionIdSchema.optional(),
    model: z.string().optional(),
    created_at: z.iso.datetime(),
    run_at: z.iso.datetime().optional(),
    complete_by: z.iso.datetime().optional(),
    finished_at: z.iso.datetime().optional(),
    result: z.string().optional(),
    message: z.looseObject({}).optional(),
    error: jobErrorSchema.optional(),
    usage: usageSchema
      .optional()
      .describe('Of all answers of an agent or a document, those of its sub-agents included.'),
    attempts: z.array(attemptSchema).optional(),
    stand_in: z.boolean().optional(),
    metadata: metadataSchema.optional(),
    /** What an agent or a document has spent, its sub-agents included. */
    spent: spendingSchema.optional(),
    /** The failed job that this one does again. */
    redrive_of: jobIdSchema.optional(),
    /** The job whose first steps this one took over. */
    fork_of: jobIdSchema.optional(),
    trace_id: z.string(),
  })
  .meta({ id: 'Job' });
export type JobView = z.infer<typeof jobViewSchema>;

export const jobListSchema = z
  .object({ data: z.array(jobViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'JobList' });
export type JobList = z.infer<typeof jobListSchema>;

/** Jobs that `GET /v1/sessions/{id}` shows; `GET /v1/jobs?session_id=` has them all. */
export const sessionJobsMax = 20;

/** `GET /v1/sessions/{id}`. */
export const sessionViewSchema = z
  .object({
    id: sessionIdSchema,
    turns: z
      .int()
      .nonnegative()
      .describe('Turns that were released so far; one with a `run_at` ahead is not counted yet.'),
    jobs: z.array(jobViewSchema).max(sessionJobsMax).describe('The newest, without their answers.'),
  })
  .meta({ id: 'Session' });
export type SessionView = z.infer<typeof sessionViewSchema>;

/** `POST /v1/jobs:batch`: jobs that are taken together, and each is alone good or bad. */
export const jobBatchSchema = z
  .strictObject({ jobs: z.array(jobSubmissionSchema).min(1).max(jobBatchMax) })
  .meta({ id: 'JobBatch' });
export type JobBatch = z.input<typeof jobBatchSchema>;

/** The same before its jobs are looked at: one that is malformed fails no other. */
export const jobBatchEnvelopeSchema = jobBatchSchema.extend({
  jobs: z.array(z.unknown()).min(1).max(jobBatchMax),
});

/** What became of one job of a batch; `index` is its place in the request. */
export const jobBatchResultSchema = z
  .union([
    z.object({
      index: z.int().nonnegative(),
      status: z.literal(202),
      job: jobViewSchema,
      /** The job was accepted before this request. */
      replayed: z.literal(true).optional(),
    }),
    z.object({
      index: z.int().nonnegative(),
      /** What `POST /v1/jobs` would have answered. */
      status: z.int().min(400).max(599),
      error: z.object({
        code: errorCodeSchema,
        detail: z.string(),
        errors: z.array(fieldErrorSchema).optional(),
      }),
    }),
  ])
  .meta({ id: 'JobBatchResult' });
export type JobBatchResult = z.infer<typeof jobBatchResultSchema>;

/** A result for each job, in the order of the request. */
export const jobBatchAnswerSchema = z
  .object({ results: z.array(jobBatchResultSchema) })
  .meta({ id: 'JobBatchAnswer' });
export type JobBatchAnswer = z.infer<typeof jobBatchAnswerSchema>;

/** The body that a job's own `callback_url` gets: the article's shape. */
export const callbackBodySchema = z
  .object({
    job_id: jobIdSchema,
    status: terminalStatusSchema,
    result: z.string().nullable(),
    error: jobErrorSchema.optional(),
    usage: usageSchema.optional(),
    stand_in: z.boolean().optional(),
    finished_at: z.iso.datetime(),
    metadata: metadataSchema.optional(),
    truncated: z.literal(true).optional(),
    size: z.int().optional(),
    sha256: z.string().optional(),
    result_url: z.string().optional(),
  })
  .meta({ id: 'CallbackBody' });
export type CallbackBody = z.infer<typeof callbackBodySchema>;
