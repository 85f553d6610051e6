import { z } from 'zod';

import { budgetSchema, spendingSchema } from './budgets.ts';
import {
  callIdSchema,
  conversationIdSchema,
  jobIdSchema,
  sessionIdSchema,
  tenantIdSchema,
  workflowIdSchema,
} from './ids.ts';
import {
  attemptSchema,
  jobErrorSchema,
  jobTypeSchema,
  laneSchema,
  terminalStatusSchema,
  usageSchema,
} from './jobs.ts';
import { forkPromptLengthMax } from './limits.ts';

/** Data of each event, by topic. Fields are the public API's names, times are RFC 3339 in UTC. */

/** A body that is too large to travel inside an event: an id in `blobs`. */
export const blobRefSchema = z.string().regex(/^blob_[A-Za-z0-9._:-]{1,200}$/);

const callbackSchema = z.object({ url: z.string() });
const metadataSchema = z.record(z.string(), z.string());

/** Copied unread from a request to its completion, so that no service needs a lookup. */
export const jobReplySchema = z
  .object({
    kind: z.literal('job'),
    callback: callbackSchema.optional(),
    metadata: metadataSchema.optional(),
    /** The failed job that this one does again. */
    redrive_of: jobIdSchema.optional(),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'JobReply' });
export type JobReply = z.infer<typeof jobReplySchema>;

/** The completion of the call is for a workflow, and ends no job. */
export const workflowReplySchema = z
  .object({
    kind: z.literal('workflow'),
    workflow_id: workflowIdSchema,
    /** The job that users know: its stream tells the text, its timeline the attempts. */
    job_id: jobIdSchema,
    /** Number of the call among the job's that are told in its stream, from 1. */
    turn: z.int().positive(),
    /** Of the job's acceptance. */
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'WorkflowReply' });
export type WorkflowReply = z.infer<typeof workflowReplySchema>;

/** Who asked for a call. */
export const replySchema = z
  .discriminatedUnion('kind', [jobReplySchema, workflowReplySchema])
  .meta({ id: 'Reply' });
export type Reply = z.infer<typeof replySchema>;

/** A sub-agent's: its end goes to the workflow that started it. */
export const childReplySchema = z
  .object({
    kind: z.literal('child'),
    workflow_id: workflowIdSchema,
    call_id: callIdSchema,
    job_id: jobIdSchema,
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'ChildReply' });
export type ChildReply = z.infer<typeof childReplySchema>;

/** `millrace.claude.requested.v1`: one model call, keyed by session or job. */
export const claudeRequestedSchema = z
  .object({
    tenant: tenantIdSchema,
    /** The call's id is the job's id for a message job. */
    call_id: callIdSchema,
    lane: laneSchema,
    /** Its messages follow those of this conversation, which goes on with the answer. */
    session_id: conversationIdSchema.optional(),
    /** Place in the session's order; given together with `session_id`. */
    session_seq: z.int().positive().optional(),
    /** Someone listens: the tokens go to `claude.deltas.v1`. */
    stream: z.boolean(),
    /** Complete Messages API parameters, without `stream`. Exactly one of the two is given. */
    params: z.looseObject({}).optional(),
    params_ref: blobRefSchema.optional(),
    /** No call is made after this; what has not ended then ends as `expired`. */
    complete_by: z.iso.datetime().optional(),
    reply: replySchema,
  })
  .meta({ id: 'ClaudeRequested' });
export type ClaudeRequested = z.infer<typeof claudeRequestedSchema>;

/** `millrace.workflow.requested.v1`: an agent or document job, or a sub-agent; keyed by it. */
export const workflowRequestedSchema = z
  .object({
    tenant: tenantIdSchema,
    /** The workflow's id: the job's, or a sub-agent's. */
    job_id: workflowIdSchema,
    type: jobTypeSchema,
    session_id: sessionIdSchema.optional(),
    lane: laneSchema.optional(),
    /** Someone listens: tokens and steps are told. */
    stream: z.boolean().optional(),
    /** `AgentParams` or `DocumentParams`. Exactly one of the two is given. */
    params: z.looseObject({}).optional(),
    params_ref: blobRefSchema.optional(),
    budget: budgetSchema.optional(),
    /** It takes over the first steps of another run. */
    fork: z
      .object({
        workflow_id: workflowIdSchema,
        created_at: z.iso.datetime(),
        from_step: z.int().nonnegative(),
        allow_side_effects: z.boolean(),
        /** Said after what the source had said until then. */
        prompt: z.string().min(1).max(forkPromptLengthMax).optional(),
      })
      .optional(),
    /** How many workflows stand above it. */
    depth: z.int().nonnegative().optional(),
    /** What others wrote is among its messages. */
    tainted: z.boolean().optional(),
    /** What has not ended then ends as `expired`. */
    complete_by: z.iso.datetime().optional(),
    reply: z.discriminatedUnion('kind', [jobReplySchema, childReplySchema]),
  })
  .meta({ id: 'WorkflowRequested' });
export type WorkflowRequested = z.infer<typeof workflowRequestedSchema>;

/**
 * `millrace.claude.cancel-requested.v1`: on the request's own topic and key. It may come before
 * its request, so it carries all that the end of a call tells which was never run.
 */
export const claudeCancelRequestedSchema = z
  .object({
    tenant: tenantIdSchema,
    call_id: callIdSchema,
    session_id: conversationIdSchema.optional(),
    /** Place in the session's order; given together with `session_id`. */
    session_seq: z.int().positive().optional(),
    reply: replySchema,
  })
  .meta({ id: 'ClaudeCancelRequested' });
export type ClaudeCancelRequested = z.infer<typeof claudeCancelRequestedSchema>;

/** `millrace.workflow.cancel-requested.v1`: on the request's own topic and key. */
export const workflowCancelRequestedSchema = z
  .object({
    tenant: tenantIdSchema,
    job_id: workflowIdSchema,
    type: jobTypeSchema,
    reply: z.discriminatedUnion('kind', [jobReplySchema, childReplySchema]),
  })
  .meta({ id: 'WorkflowCancelRequested' });
export type WorkflowCancelRequested = z.infer<typeof workflowCancelRequestedSchema>;

/** `millrace.job.{succeeded,failed,cancelled,expired}.v1`: the one terminal event of a job. */
export const jobFinishedSchema = z
  .object({
    tenant: tenantIdSchema,
    job_id: jobIdSchema,
    type: jobTypeSchema,
    status: terminalStatusSchema,
    session_id: sessionIdSchema.optional(),
    model: z.string().optional(),
    /** The answer's text. Absent when the job did not succeed, or travels by `message_ref`. */
    result: z.string().optional(),
    /** The Messages API's object. */
    message: z.looseObject({}).optional(),
    /** The Messages object in `blobs`, when it is above 256 KiB; `result` comes out of it. */
    message_ref: blobRefSchema.optional(),
    error: jobErrorSchema.optional(),
    usage: usageSchema.optional(),
    attempts: z.array(attemptSchema),
    stand_in: z.boolean().optional(),
    /** Of a workflow, with its sub-agents'. */
    spent: spendingSchema.optional(),
    callback: callbackSchema.optional(),
    metadata: metadataSchema.optional(),
    /** The failed job that this one did again. */
    redrive_of: jobIdSchema.optional(),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime(),
  })
  .meta({ id: 'JobFinished' });
export type JobFinished = z.infer<typeof jobFinishedSchema>;

const progressFields = {
  tenant: tenantIdSchema,
  job_id: jobIdSchema,
  created_at: z.iso.datetime(),
};

/** Told of jobs that run longer than a second. Records of an older release have no `kind`. */
export const jobRunningSchema = z
  .object({
    kind: z.literal('running').optional(),
    ...progressFields,
    status: z.literal('running'),
    attempt: z.int().positive(),
    at: z.iso.datetime(),
  })
  .meta({ id: 'JobRunning' });
export type JobRunning = z.infer<typeof jobRunningSchema>;

/** One HTTP send to Claude that was closed without ending its job. */
export const jobAttemptedSchema = z
  .object({ kind: z.literal('attempt'), ...progressFields, attempt: attemptSchema })
  .meta({ id: 'JobAttempted' });
export type JobAttempted = z.infer<typeof jobAttemptedSchema>;

/** A workflow waits for someone, or goes on. The highest version holds. */
export const jobStatusChangedSchema = z
  .object({
    kind: z.literal('status'),
    ...progressFields,
    status: z.enum(['running', 'awaiting_approval', 'awaiting_budget', 'awaiting_signal']),
    /** The workflow's: what was told of an earlier one is out of date. */
    version: z.int().positive(),
    at: z.iso.datetime(),
  })
  .meta({ id: 'JobStatusChanged' });
export type JobStatusChanged = z.infer<typeof jobStatusChangedSchema>;

/** `millrace.job.progressed.v1`: what happens to a job before its end. */
export const jobProgressedSchema = z
  .discriminatedUnion('kind', [jobRunningSchema, jobAttemptedSchema, jobStatusChangedSchema])
  .meta({ id: 'JobProgressed' });
export type JobProgressed = z.infer<typeof jobProgressedSchema>;

/** `millrace.claude.delta.v1`: text of one attempt, with its place in that attempt's text. */
export const claudeDeltaSchema = z
  .object({
    tenant: tenantIdSchema,
    job_id: jobIdSchema,
    /** Model call within the job, from 1: always 1 for a message job. Sub-agents are not told. */
    turn: z.int().positive(),
    attempt: z.int().positive(),
    /** Offset of `text` in the attempt's text, in UTF-16 code units. */
    start: z.int().nonnegative(),
    text: z.string(),
  })
  .meta({ id: 'ClaudeDelta' });
export type ClaudeDelta = z.infer<typeof claudeDeltaSchema>;

/** Tenants told of in one count: those with the longest queues. */
export const backlogTenantsMax = 100;

const ageMsSchema = z.number().nonnegative().optional();

/** `millrace.claude.backlog.v1` (compacted): how much work waits, for who lets more in. */
export const claudeBacklogSchema = z
  .object({
    counted_at: z.iso.datetime(),
    /** Calls that nobody runs yet; counted up to 500,000. */
    waiting: z.int().nonnegative(),
    /**
     * How long the oldest call of each lane has been due, in milliseconds. Turns of sessions do
     * not count: they wait for each other.
     */
    oldest_ms: z.object({ interactive: ageMsSchema, standard: ageMsSchema, bulk: ageMsSchema }),
    /** Those with the most waiting calls. */
    tenants: z
      .array(z.object({ tenant: tenantIdSchema, waiting: z.int().positive() }))
      .max(backlogTenantsMax),
  })
  .meta({ id: 'ClaudeBacklog' });
export type ClaudeBacklog = z.infer<typeof claudeBacklogSchema>;

/** `millrace.tenant.changed.v1` (compacted): what other services need to know of a tenant. */
export const tenantChangedSchema = z
  .object({
    tenant: tenantIdSchema,
    /** Signing secrets `whsec_…` in clear text, newest first: an older release told them so. */
    webhook_secrets: z.array(z.string().startsWith('whsec_')).min(1).max(10).optional(),
    /** The same with the times until which they live, as JSON, sealed, in base64. */
    sealed_secrets: z.base64().min(1).optional(),
    /** Absent in events of before tenants could be disabled: it is not. */
    disabled: z.boolean().optional(),
    changed_at: z.iso.datetime(),
  })
  .refine(
    (told) => told.webhook_secrets !== undefined || told.sealed_secrets !== undefined,
    { message: 'tells no secrets' },
  )
  .meta({ id: 'TenantChanged' });
export type TenantChanged = z.infer<typeof tenantChangedSchema>;
