import { z } from 'zod';

import { jobIdSchema, tenantIdSchema } from './ids.ts';

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
      first_byte: z.number().optional(),
      total: z.number(),
    }),
  })
  .meta({ id: 'DeliveryAttempt' });
export type DeliveryAttempt = z.infer<typeof deliveryAttemptSchema>;

/** A webhook of a job as webhook-dispatcher tells it to ingest, oldest attempt first. */
export const jobDeliverySchema = z.object({
  webhook_id: z.string().max(128),
  state: z.enum(['waiting', 'sending', 'delivered', 'stopped', 'dead']),
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
