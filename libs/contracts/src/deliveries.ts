import { z } from 'zod';

import { errorCodeSchema } from './errors.ts';
import { deliveryIdSchema, endpointIdSchema, jobIdSchema, tenantIdSchema } from './ids.ts';
import { momentSchema } from './jobs.ts';
import { webhookEventTypeSchema } from './webhook-events.ts';

/** One POST to a receiver that was counted. */
export const deliveryAttemptSchema = z
  .object({
    number: z.int().positive(),
    outcome: z.enum(['delivered', 'retry', 'stopped', 'dead']),
    /** How it failed, such as `timeout` or `server_error`; absent after a 2xx. */
    class: z.string().optional(),
    http_status: z.int().optional(),
    started_at: z.iso.datetime(),
    ended_at: z.iso.datetime(),
    /** Milliseconds from the start; what was not reached is absent. */
    timings_ms: z.object({
      dns: z.number().optional(),
      connect: z.number().optional(),
      tls: z.number().optional(),
      first_byte: z.number().optional(),
      total: z.number(),
    }),
  })
  .meta({ id: 'DeliveryAttempt' });
export type DeliveryAttempt = z.infer<typeof deliveryAttemptSchema>;

export const deliveryStatuses = [
  'waiting',
  'sending',
  'delivered',
  'stopped',
  'dead',
  'skipped_disabled',
] as const;
/** `skipped_disabled`: kept unsent, since its endpoint was disabled, until it is replayed. */
export const deliveryStatusSchema = z.enum(deliveryStatuses);
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** A webhook of a job as webhook-dispatcher tells it to ingest, oldest attempt first. */
export const jobDeliverySchema = z.object({
  webhook_id: z.string().max(128),
  /** The registered endpoint that it goes to; absent for the job's own `callback_url`. */
  endpoint: endpointIdSchema.optional(),
  state: deliveryStatusSchema,
  /** When it is tried again, while it waits. */
  next_attempt_at: z.iso.datetime().optional(),
  attempts: z.array(deliveryAttemptSchema),
});
export type JobDelivery = z.infer<typeof jobDeliverySchema>;

/** Where webhook-dispatcher answers to ingest, and to nobody without the internal key. */
export const deliveriesPath = '/internal/v1/deliveries';

/** Its query. The day that the job's rows are kept under makes it a look-up by key. */
export const jobDeliveriesQuerySchema = z.strictObject({
  tenant: tenantIdSchema,
  job_id: jobIdSchema,
  day: z.iso.date(),
});
export type JobDeliveriesQuery = z.infer<typeof jobDeliveriesQuerySchema>;

/** Its answer: none for a job that has no webhook, or none yet. */
export const jobDeliveriesSchema = z.object({ deliveries: z.array(jobDeliverySchema) });
export type JobDeliveries = z.infer<typeof jobDeliveriesSchema>;

/** A webhook on its way to one receiver, as the API shows it. */
export const deliveryViewSchema = z
  .object({
    id: deliveryIdSchema,
    /** What the receiver drops copies by: the same for every endpoint, attempt and replay. */
    webhook_id: z.string(),
    /** Null for a job's own `callback_url`. */
    endpoint: endpointIdSchema.nullable(),
    url: z.string(),
    event_type: webhookEventTypeSchema,
    /** Null for what is about no job. */
    job_id: jobIdSchema.nullable(),
    status: deliveryStatusSchema,
    attempts: z.int().nonnegative(),
    /** While it waits. */
    next_attempt_at: z.iso.datetime().nullable(),
    created_at: z.iso.datetime(),
    ended_at: z.iso.datetime().nullable(),
    /** When it was last replayed. */
    replayed_at: z.iso.datetime().nullable(),
    /** Why it was given up or skipped. */
    code: errorCodeSchema.nullable(),
  })
  .meta({ id: 'Delivery' });
export type DeliveryView = z.infer<typeof deliveryViewSchema>;

export const deliveryListSchema = z
  .object({ data: z.array(deliveryViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'DeliveryList' });
export type DeliveryList = z.infer<typeof deliveryListSchema>;

/** One attempt with what the receiver answered. */
export const deliveryAttemptViewSchema = deliveryAttemptSchema
  .extend({
    /** The first 16 KiB of the answer, read as UTF-8; null when there was none. */
    response_excerpt: z.string().nullable(),
  })
  .meta({ id: 'DeliveryAttemptView' });
export type DeliveryAttemptView = z.infer<typeof deliveryAttemptViewSchema>;

/** `GET /v1/deliveries/{id}/attempts`, oldest first; of many the latest. */
export const deliveryAttemptListSchema = z
  .object({ data: z.array(deliveryAttemptViewSchema) })
  .meta({ id: 'DeliveryAttemptList' });
export type DeliveryAttemptList = z.infer<typeof deliveryAttemptListSchema>;

/** What can be sent again: whatever has ended. */
export const replayableStatuses = ['dead', 'stopped', 'skipped_disabled', 'delivered'] as const;

/** `POST /v1/deliveries:replay`: those that fit everything that is said, oldest first. */
export const replayBatchSchema = z
  .strictObject({
    endpoint: endpointIdSchema.optional(),
    status: z
      .enum(replayableStatuses)
      .optional()
      .describe('Without it whatever was not delivered.'),
    /** Made at this time or later. */
    since: momentSchema,
    /** Made before. */
    until: momentSchema.optional(),
  })
  .meta({ id: 'ReplayBatch' });
export type ReplayBatch = z.infer<typeof replayBatchSchema>;

export const replayBatchAnswerSchema = z
  .object({
    /** How many are sent again. */
    replayed: z.int().nonnegative(),
    /** There are others that fit: ask again for the rest, with this `until`. */
    more: z.boolean(),
    /** Deliveries that were made, or replayed, at this time or later were left alone. */
    until: z.iso.datetime(),
  })
  .meta({ id: 'ReplayBatchAnswer' });
export type ReplayBatchAnswer = z.infer<typeof replayBatchAnswerSchema>;

/** Where webhook-dispatcher answers to ingest for a tenant's own deliveries. */
export const tenantDeliveriesPath = '/internal/tenants/:tenant/deliveries';
