import { z } from 'zod';

import { approvalViewSchema } from './agents.ts';
import { budgetLimitsSchema, limitNameSchema, spendingSchema } from './budgets.ts';
import { errorCodeSchema } from './errors.ts';
import { jobIdSchema, tenantIdSchema, workflowIdSchema } from './ids.ts';
import { attemptSchema, terminalStatuses, usageSchema } from './jobs.ts';

const at = z.iso.datetime();

/** What a workflow waits for, or how it ended; `parked`: no release here can go on with it. */
export const workflowStatusSchema = z.enum([
  'running',
  'awaiting_approval',
  'awaiting_budget',
  'awaiting_signal',
  'parked',
  ...terminalStatuses,
]);

/** What people are asked, and what was spent. */
export const workflowViewSchema = z.object({
  approvals: z.array(approvalViewSchema),
  spent: spendingSchema,
  limits: budgetLimitsSchema.optional(),
  /** Which limit has to be raised before it goes on. */
  limit_reached: limitNameSchema.optional(),
  /** Names of signals that are waited for. */
  signals: z.array(z.string()),
  tainted: z.boolean(),
});

/** Steps of one answer, the first ones, and the bytes that their inputs and outputs may have. */
export const workflowStepsMax = 1_000;
export const workflowStepsBytesMax = 1024 * 1024;

/** Kinds of steps that a timeline shows; the others are events of the job that it has already. */
export const timelineStepKinds = [
  'describe_tools',
  'split',
  'model_call',
  'approval',
  'tool_call',
  'child',
  'signal',
  'budget_raised',
] as const;

/** One thing that a workflow did, from its journal. */
export const workflowStepSchema = z.object({
  /**
   * Version of the journal's entry that ended it, or while it is under way that began it. A fork
   * names the last one that it takes over: what ended with it or before it.
   */
  step: z.int().positive(),
  /** The job's, or a sub-agent's of it, whose versions count for themselves. */
  workflow_id: workflowIdSchema,
  kind: z.enum(['started', 'cancel_requested', ...timelineStepKinds]),
  /** Of the call, approval, signal or sub-agent. */
  id: z.string(),
  /** Of the tool, signal or sub-agent. */
  name: z.string().optional(),
  at,
  /** Absent while it is under way. */
  ended_at: at.optional(),
  input: z.unknown().optional(),
  output: z.unknown().optional(),
  /** Input or output is not shown: the answer would be too long, or it is kept no longer. */
  cut: z.boolean().optional(),
  error: z.object({ code: errorCodeSchema, detail: z.string() }).optional(),
  is_error: z.boolean().optional(),
  model: z.string().optional(),
  usage: usageSchema.optional(),
  cost_usd: z.number().nonnegative().optional(),
  attempts: z.int().nonnegative().optional(),
  /** Of a model call: those that came to no answer. One that is `unknown` may have been paid. */
  unanswered: z
    .array(attemptSchema)
    .optional()
    .describe('Attempts that came to no answer. One that is `unknown` may have been paid.'),
});
export type WorkflowStep = z.infer<typeof workflowStepSchema>;

/** Where agent-orchestrator answers to ingest: `<path>/<tenant>/<job id>?created_at=…`. */
export const workflowsPath = '/internal/workflows';

export const workflowPathSchema = z.object({ tenant: tenantIdSchema, job_id: jobIdSchema });
/** The day of the job's acceptance makes it a look-up by key. */
export const workflowQuerySchema = z.strictObject({ created_at: at });

/**
 * What `prefer` says (RFC 7240) when it is only asked how the run stands: the answer is without its
 * steps, and without what its sub-agents ask for. Whoever does not know it answers with all.
 */
export const standingPreference = 'return=minimal';

/** Its answer; a workflow that is not known, or not begun yet, is a 404 with `not_found`. */
export const workflowAnswerSchema = z.object({
  kind: z.enum(['agent', 'document']),
  status: workflowStatusSchema,
  version: z.int().positive(),
  parked_code: errorCodeSchema.optional(),
  /** Its approvals are also those that its sub-agents ask for. */
  view: workflowViewSchema,
  /** The workflow, by an approval's id, to which the decision goes: a sub-agent's has its own. */
  approval_workflows: z.record(z.string(), workflowIdSchema),
  /** In the order of their beginning; a sub-agent's follow the step that started it. */
  steps: z.array(workflowStepSchema).max(workflowStepsMax),
  /** There are more steps. */
  truncated: z.boolean(),
});
export type WorkflowAnswer = z.infer<typeof workflowAnswerSchema>;
