import { z } from 'zod';

import { budgetLimitsSchema, limitNameSchema, spendingSchema } from './budgets.ts';
import { deliveryAttemptSchema } from './deliveries.ts';
import { endpointIdSchema, jobIdSchema } from './ids.ts';
import {
  attemptSchema,
  jobErrorSchema,
  jobStatusSchema,
  terminalStatusSchema,
  usageSchema,
} from './jobs.ts';
import { timelineStepKinds, workflowStepSchema } from './workflow-view.ts';

const at = z.iso.datetime();

/** What happened to a job, and when. Events that have a length stand at their end. */
export const timelineEventSchema = z
  .discriminatedUnion('kind', [
    /** The job became durable. */
    z.object({ kind: z.literal('accepted'), at, via: z.enum(['http', 'kafka']) }),
    /** It was handed over to the service that runs it. */
    z.object({ kind: z.literal('released'), at }),
    /** An attempt has been running for a second. */
    z.object({ kind: z.literal('running'), at, attempt: z.int().positive() }),
    /** Someone asked for the job to be cancelled, for the first time. */
    z.object({ kind: z.literal('cancel_requested'), at }),
    /** One HTTP send to Claude, at the time when it was closed. */
    z.object({ kind: z.literal('attempt'), at, attempt: attemptSchema }),
    z.object({
      kind: z.literal('ended'),
      at,
      status: terminalStatusSchema,
      error: jobErrorSchema.optional(),
      model: z.string().optional(),
      /** Tokens of the answer; those of attempts that came to none are not known. */
      usage: usageSchema.optional(),
    }),
    /** One POST of the job's webhook, at the time when it was over. */
    z.object({
      kind: z.literal('delivery_attempt'),
      at,
      webhook_id: z.string(),
      /** The registered endpoint that it went to; absent for the job's own `callback_url`. */
      endpoint: endpointIdSchema.optional(),
      attempt: deliveryAttemptSchema,
      /** On the latest attempt of a webhook that is to be sent again. */
      next_attempt_at: at.optional(),
    }),
    /** What the run of an agent or a document did, at the time when it was over. */
    workflowStepSchema.omit({ at: true, ended_at: true }).extend({
      kind: z.enum(timelineStepKinds),
      /** Of its end; while it is under way of its beginning. */
      at,
      started_at: at,
      /** It is not over. */
      under_way: z.literal(true).optional(),
    }),
    /** A new job was made of this one. */
    z.object({ kind: z.literal('redriven'), at, job_id: jobIdSchema }),
  ])
  .meta({ id: 'TimelineEvent' });
export type TimelineEvent = z.infer<typeof timelineEventSchema>;
export type TimelineEventKind = TimelineEvent['kind'];

/** `GET /v1/jobs/{id}/timeline`: every event of a job, in order. */
export const timelineSchema = z
  .object({
    job_id: jobIdSchema,
    status: jobStatusSchema,
    trace_id: z.string(),
    events: z.array(timelineEventSchema),
    /** Of the run of an agent or a document: what it has spent by now, and what it may. */
    spent: spendingSchema.optional(),
    limits: budgetLimitsSchema.optional(),
    /** Which limit has to be raised before a run that is `awaiting_budget` goes on. */
    limit_reached: limitNameSchema.optional(),
    /** There were more events than are kept or shown. */
    truncated: z.boolean(),
    /** Services that could not be asked: what they know is missing. */
    incomplete: z.array(z.enum(['webhook-dispatcher', 'agent-orchestrator'])),
  })
  .meta({ id: 'Timeline' });
export type Timeline = z.infer<typeof timelineSchema>;
