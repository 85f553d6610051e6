import { z } from 'zod';

import { budgetSchema } from './budgets.ts';
import { callIdSchema, jobIdSchema } from './ids.ts';
import {
  agentChildrenMax,
  agentSignalsMax,
  agentToolsMax,
  documentChunkTokensDefault,
  documentChunkTokensMax,
  documentChunkTokensMin,
} from './limits.ts';
import { jobStatusSchema, messageParamsSchema } from './jobs.ts';
import { toolNameSchema } from './tools.ts';

const agentFields = {
  /** Names of registered tools; an MCP server's name stands for all of its tools. */
  tools: z.array(toolNameSchema).max(agentToolsMax).optional(),
  /** JSON Schema of the final answer, which is then JSON. */
  output_schema: z.looseObject({ type: z.literal('object') }).optional(),
};

/**
 * A sub-agent: to the agent that starts it, a tool that takes a prompt. It waits for no signals:
 * those of a job reach the job's own agent alone.
 */
export const subAgentSchema = z
  .strictObject({
    name: toolNameSchema,
    description: z.string().min(1).max(1_024),
    model: z.string().min(1).max(128).optional(),
    max_tokens: z.int().positive().optional(),
    system: z.string().optional(),
    budget: budgetSchema.optional(),
    ...agentFields,
  })
  .meta({ id: 'SubAgent' });
export type SubAgent = z.infer<typeof subAgentSchema>;

/** `params` of a job of type `agent`: the Messages API's own, and what the agent may use. */
export const agentParamsSchema = messageParamsSchema
  .extend({
    ...agentFields,
    agents: z.array(subAgentSchema).max(agentChildrenMax).optional(),
    /** Names of signals that the agent may wait for. */
    signals: z.array(toolNameSchema).max(agentSignalsMax).optional(),
    /** The messages hold content of others, a ticket or a mail: writes ask a person first. */
    untrusted: z.boolean().optional(),
  })
  .meta({ id: 'AgentParams' });
export type AgentParams = z.infer<typeof agentParamsSchema>;

/** Where a document job's text comes from: one that was uploaded, or an address. */
export const documentSourceSchema = z
  .union(
    [
      z.strictObject({ id: z.string().regex(/^doc_[A-Za-z0-9]{1,64}$/) }),
      z.strictObject({ url: z.string().min(1).max(2_048) }),
    ],
    { error: 'must have an id, as an upload was answered with, or a url, and nothing else' },
  )
  .meta({ id: 'DocumentSource' });
export type DocumentSource = z.infer<typeof documentSourceSchema>;

/** `params` of a job of type `document`: each part is answered, then the answers are joined. */
export const documentParamsSchema = z
  .strictObject({
    document: documentSourceSchema,
    /** What is asked of each part. */
    prompt: z.string().min(1).max(100_000),
    /** What is asked of the parts' answers; by default the same as of each part. */
    reduce_prompt: z.string().min(1).max(100_000).optional(),
    model: z.string().min(1).max(128).optional(),
    max_tokens: z.int().positive().optional(),
    chunk_tokens: z
      .int()
      .min(documentChunkTokensMin)
      .max(documentChunkTokensMax)
      .default(documentChunkTokensDefault),
    overlap_tokens: z.int().min(0).max(2_000).default(200),
  })
  .meta({ id: 'DocumentParams' });
export type DocumentParams = z.infer<typeof documentParamsSchema>;

/** `POST /v1/jobs/{id}/approvals/{approval_id}` */
export const approvalDecisionSchema = z
  .strictObject({
    decision: z.enum(['approve', 'reject']),
    /** The model is told it with a rejection. */
    reason: z.string().max(2_000).optional(),
    /** As the approval shows it: the decision holds for this call and no other. */
    hash: z.string().regex(/^[0-9a-f]{64}$/).optional(),
  })
  .meta({ id: 'ApprovalDecision' });
export type ApprovalDecision = z.infer<typeof approvalDecisionSchema>;

export const approvalIdSchema = z.string().regex(/^apr_[0-9a-f]{32}$/);

/** A tool call that waits for a person. */
export const approvalViewSchema = z
  .object({
    id: approvalIdSchema,
    tool: z.string(),
    tool_version: z.int().positive(),
    /** Not kept of a call that was decided: the run's steps have them. */
    arguments: z.unknown().optional(),
    /** SHA-256 of tool, version and arguments. */
    hash: z.string(),
    requested_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    status: z.enum(['pending', 'approved', 'rejected', 'expired']),
  })
  .meta({ id: 'Approval' });
export type ApprovalView = z.infer<typeof approvalViewSchema>;

/** `GET /v1/jobs/{id}/approvals`: those that were decided too, as long as the run knows them. */
export const approvalListSchema = z
  .object({ data: z.array(approvalViewSchema) })
  .meta({ id: 'ApprovalList' });
export type ApprovalList = z.infer<typeof approvalListSchema>;

/** `POST /v1/jobs/{id}/signals/{name}`: anything, as JSON. */
export const signalSubmissionSchema = z
  .strictObject({
    data: z.unknown().optional(),
    /** The same signal again has the same id: it counts once. */
    signal_id: z
      .string()
      .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable characters without spaces')
      .optional(),
  })
  .meta({ id: 'SignalSubmission' });
export type SignalSubmission = z.infer<typeof signalSubmissionSchema>;

/** `POST /v1/jobs/{id}/fork`: the run again from one of its steps on, in another way. */
export const forkSubmissionSchema = z
  .strictObject({
    /** Number of the step, as the timeline shows it, that is the last to be taken over. */
    from_step: z.int().nonnegative(),
    model: z.string().min(1).max(128).optional(),
    system: z.string().optional(),
    /**
     * From step 0 it is said in place of the agent's first user message. From a later step on it is
     * said beside what the model was to be told there, after the results of tools, and has at most
     * 32,768 characters.
     */
    prompt: z
      .string()
      .min(1)
      .optional()
      .describe(
        'From step 0: said in place of the first user message. From a later step on: said after ' +
          'the tool results that the model is given there; at most 32,768 characters.',
      ),
    tools: agentFields.tools,
    /** Tools of effect `write` are really called after the fork. */
    allow_side_effects: z.boolean().default(false),
    budget: budgetSchema.optional(),
    job_id: jobIdSchema.optional(),
  })
  .meta({ id: 'ForkSubmission' });
export type ForkSubmission = z.infer<typeof forkSubmissionSchema>;

/** One of the two runs that a fork is compared of, from the step on at which they part. */
export const forkSideSchema = z
  .object({
    job_id: jobIdSchema,
    status: jobStatusSchema,
    model: z.string().optional(),
    result: z.string().optional(),
    usd: z.number().nonnegative(),
    turns: z.int().nonnegative(),
    tool_calls: z.array(
      z.object({
        id: callIdSchema,
        tool: z.string(),
        input: z.unknown().optional(),
        is_error: z.boolean().optional(),
      }),
    ),
  })
  .meta({ id: 'ForkSide' });
export type ForkSide = z.infer<typeof forkSideSchema>;

/** `GET /v1/jobs/{id}/fork`: what a fork did otherwise than its source. */
export const forkComparisonSchema = z
  .object({
    from_step: z.int().nonnegative(),
    source: forkSideSchema,
    fork: forkSideSchema,
    /** The fork's less its source's. */
    difference: z.object({ usd: z.number(), turns: z.int(), tool_calls: z.int() }),
    /** Absent until both have ended. */
    same_answer: z.boolean().optional(),
    /** One of them has more steps than are looked at. */
    truncated: z.boolean(),
  })
  .meta({ id: 'ForkComparison' });
export type ForkComparison = z.infer<typeof forkComparisonSchema>;
