import { z } from 'zod';

import { approvalDecisionSchema, approvalIdSchema } from './agents.ts';
import { budgetRaiseSchema, spendingSchema } from './budgets.ts';
import { errorCodeSchema } from './errors.ts';
import { callIdSchema, jobIdSchema, tenantIdSchema, workflowIdSchema } from './ids.ts';
import { attemptSchema, jobErrorSchema, usageSchema } from './jobs.ts';
import { documentChunksMax } from './limits.ts';
import { toolDefinitionSchema, toolErrorSchema, toolNameSchema } from './tools.ts';

/** Data of the events that drive workflows. All of a workflow have its tenant and id as key. */

const blobRefSchema = z.string().regex(/^blob_[A-Za-z0-9._:-]{1,200}$/);
const at = z.iso.datetime();

/** Whose an event is. The day of the job's acceptance says under which day its rows lie. */
const workflowFields = {
  tenant: tenantIdSchema,
  workflow_id: workflowIdSchema,
  /** Of the job's acceptance. */
  created_at: at,
};

/**
 * `millrace.claude.completed.v1`: how a workflow's model call ended. One of `message` and
 * `message_ref` is there when there is an answer, a refusal or one cut by `max_tokens` too: what
 * its `stop_reason` means to the run is the workflow's to say.
 */
export const claudeCompletedSchema = z
  .object({
    ...workflowFields,
    call_id: callIdSchema,
    outcome: z.enum(['answered', 'failed', 'cancelled', 'expired']),
    model: z.string().optional(),
    message: z.looseObject({}).optional(),
    message_ref: blobRefSchema.optional(),
    /** The turn is in the conversation: the next one carries only what is new. */
    kept: z.boolean(),
    usage: usageSchema.optional(),
    error: jobErrorSchema.optional(),
    attempts: z.array(attemptSchema),
    stand_in: z.boolean().optional(),
    finished_at: at,
  })
  .meta({ id: 'ClaudeCompleted' });
export type ClaudeCompleted = z.infer<typeof claudeCompletedSchema>;

/** `millrace.workflow.signalled.v1` */
export const workflowSignalledSchema = z
  .object({
    ...workflowFields,
    name: toolNameSchema,
    /** The same signal again has the same id. */
    signal_id: z.string(),
    data: z.unknown(),
  })
  .meta({ id: 'WorkflowSignalled' });
export type WorkflowSignalled = z.infer<typeof workflowSignalledSchema>;

/** `millrace.workflow.approval-decided.v1` */
export const workflowApprovalDecidedSchema = z
  .object({
    ...workflowFields,
    approval_id: approvalIdSchema,
    ...approvalDecisionSchema.shape,
  })
  .meta({ id: 'WorkflowApprovalDecided' });
export type WorkflowApprovalDecided = z.infer<typeof workflowApprovalDecidedSchema>;

/** `millrace.workflow.budget-raised.v1` */
export const workflowBudgetRaisedSchema = z
  .object({ ...workflowFields, raise_id: z.string(), budget: budgetRaiseSchema })
  .meta({ id: 'WorkflowBudgetRaised' });
export type WorkflowBudgetRaised = z.infer<typeof workflowBudgetRaisedSchema>;

/** `millrace.workflow.child-finished.v1`: told by a sub-agent to the workflow that started it. */
export const workflowChildFinishedSchema = z
  .object({
    ...workflowFields,
    child_id: workflowIdSchema,
    /** The tool call that started it. */
    call_id: callIdSchema,
    status: z.enum(['succeeded', 'failed', 'cancelled', 'expired']),
    result: z.string().optional(),
    error: jobErrorSchema.optional(),
    spent: spendingSchema,
    /** Absent when no answer said what it used, and from older releases. */
    usage: usageSchema.optional(),
    /** It has read what others wrote. */
    tainted: z.boolean(),
  })
  .meta({ id: 'WorkflowChildFinished' });
export type WorkflowChildFinished = z.infer<typeof workflowChildFinishedSchema>;

const toolCallFields = {
  ...workflowFields,
  /** `<workflow>/t<n>`: the same for every attempt and every redelivery. */
  call_id: callIdSchema,
  /** Copied unread to the completion, which counts only with it. */
  token: z.string(),
};

/** `millrace.tool.run-requested.v1`: one call of a registered tool, for tool-runner. */
export const toolRunRequestedSchema = z
  .object({
    ...toolCallFields,
    /** The job that users know. */
    job_id: jobIdSchema,
    tool: toolNameSchema,
    tool_version: z.int().positive(),
    arguments: z.looseObject({}),
    /** Nothing is sent after this. */
    complete_by: at.optional(),
  })
  .meta({ id: 'ToolRunRequested' });
export type ToolRunRequested = z.infer<typeof toolRunRequestedSchema>;

/** `millrace.tool.describe-requested.v1`: what a run has to know of the tools that it names. */
export const toolDescribeRequestedSchema = z
  .object({ ...toolCallFields, job_id: jobIdSchema, tools: z.array(toolNameSchema).max(128) })
  .meta({ id: 'ToolDescribeRequested' });
export type ToolDescribeRequested = z.infer<typeof toolDescribeRequestedSchema>;

/** `millrace.tool.cancel-requested.v1`: on the request's own topic and key. */
export const toolCancelRequestedSchema = z
  .object(toolCallFields)
  .meta({ id: 'ToolCancelRequested' });
export type ToolCancelRequested = z.infer<typeof toolCancelRequestedSchema>;

/**
 * `millrace.document.split-requested.v1`: the text of a document, cut into parts, each of which
 * becomes the parameters of a model call in `blobs`.
 */
export const documentSplitRequestedSchema = z
  .object({
    ...toolCallFields,
    job_id: jobIdSchema,
    params: z.looseObject({}),
    complete_by: at.optional(),
  })
  .meta({ id: 'DocumentSplitRequested' });
export type DocumentSplitRequested = z.infer<typeof documentSplitRequestedSchema>;

/**
 * `millrace.tool.requested.v1`: one call of a tool that the tenant's own workers serve. A worker
 * answers on `tools.completed.v1` with `workflow_id`, `call_id` and `token` as they are here.
 */
export const toolRequestedSchema = z
  .object({
    job_id: jobIdSchema,
    workflow_id: workflowIdSchema,
    call_id: callIdSchema,
    token: z.string(),
    tool: toolNameSchema,
    tool_version: z.int().positive(),
    arguments: z.looseObject({}),
    attempt: z.int().positive(),
    /** An answer after this is not waited for. */
    deadline: at,
  })
  .meta({ id: 'ToolRequested' });
export type ToolRequested = z.infer<typeof toolRequestedSchema>;

/** `millrace.tool.completed.v1`: a tool's result, or why there is none. */
export const toolCompletedSchema = z
  .object({
    workflow_id: workflowIdSchema,
    call_id: callIdSchema,
    token: z.string(),
    /** What the model is told. Text as it is, anything else as JSON. */
    output: z.unknown().optional(),
    error: toolErrorSchema.optional(),
    attempts: z.int().positive().optional(),
    started_at: at.optional(),
    finished_at: at.optional(),
  })
  .refine(({ output, error }) => (output === undefined) !== (error === undefined), {
    message: 'give exactly one of output and error',
  })
  .meta({ id: 'ToolCompleted' });
export type ToolCompleted = z.infer<typeof toolCompletedSchema>;

/** `millrace.tool.described.v1` */
export const toolDescribedSchema = z
  .object({
    workflow_id: workflowIdSchema,
    call_id: callIdSchema,
    token: z.string(),
    tools: z.array(toolDefinitionSchema),
    /** Named, and not there. With a code its MCP server could not be asked: it may be there. */
    missing: z.array(
      z.object({ name: z.string(), detail: z.string(), code: errorCodeSchema.optional() }),
    ),
  })
  .meta({ id: 'ToolDescribed' });
export type ToolDescribed = z.infer<typeof toolDescribedSchema>;

/** `millrace.document.split.v1` */
export const documentSplitSchema = z
  .object({
    workflow_id: workflowIdSchema,
    call_id: callIdSchema,
    token: z.string(),
    /** `<parts_ref>.<n>` in `blobs`, from 0: complete parameters of the call for a part. */
    parts_ref: blobRefSchema.optional(),
    /** Tokens of each call's prompt, estimated. */
    parts: z.array(z.int().nonnegative()).max(documentChunksMax).optional(),
    error: toolErrorSchema.optional(),
  })
  .refine(({ parts, parts_ref, error }) => (parts && parts_ref ? !error : error), {
    message: 'give parts and parts_ref, or error',
  })
  .meta({ id: 'DocumentSplit' });
export type DocumentSplit = z.infer<typeof documentSplitSchema>;

/** One step of a workflow as it goes on, for those who listen. */
export const jobStepSchema = z
  .object({
    tenant: tenantIdSchema,
    job_id: jobIdSchema,
    /** The job's, or a sub-agent's of it. */
    workflow_id: workflowIdSchema,
    /** Place in the workflow's journal, and within the entry. */
    version: z.int().positive(),
    index: z.int().nonnegative(),
    at,
    step: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('model_call'), turn: z.int().positive() }),
      z.object({
        kind: z.literal('tool_call'),
        call_id: callIdSchema,
        tool: z.string(),
        arguments: z.unknown(),
      }),
      z.object({
        kind: z.literal('tool_result'),
        call_id: callIdSchema,
        tool: z.string(),
        is_error: z.boolean(),
      }),
      z.object({
        kind: z.literal('approval_requested'),
        approval_id: approvalIdSchema,
        call_id: callIdSchema,
        tool: z.string(),
        arguments: z.unknown(),
        hash: z.string(),
        expires_at: at,
      }),
      z.object({
        kind: z.literal('approval_decided'),
        approval_id: approvalIdSchema,
        decision: z.enum(['approved', 'rejected', 'expired']),
      }),
      z.object({ kind: z.literal('awaiting_signal'), name: z.string() }),
      z.object({ kind: z.literal('signal'), name: z.string() }),
      z.object({ kind: z.literal('awaiting_budget'), limit: z.string() }),
      z.object({ kind: z.literal('child_started'), child_id: workflowIdSchema, name: z.string() }),
      z.object({ kind: z.literal('child_finished'), child_id: workflowIdSchema }),
      z.object({ kind: z.literal('split'), parts: z.int().nonnegative() }),
      z.object({
        kind: z.literal('part_done'),
        done: z.int().nonnegative(),
        of: z.int().positive(),
      }),
    ]),
  })
  .meta({ id: 'JobStep' });
export type JobStep = z.infer<typeof jobStepSchema>;
