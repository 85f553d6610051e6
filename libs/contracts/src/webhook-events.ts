import { z } from 'zod';

/**
 * The closed list of what a registered endpoint is told. A ping goes to an endpoint that is tested,
 * whatever types it wants; a notice about an endpoint to the tenant's other ones.
 */
export const webhookEventTypes = [
  'millrace.job.succeeded.v1',
  'millrace.job.failed.v1',
  'millrace.job.cancelled.v1',
  'millrace.job.expired.v1',
  'millrace.endpoint.failing.v1',
  'millrace.endpoint.disabled.v1',
  'millrace.delivery.exhausted.v1',
  'millrace.endpoint.ping.v1',
] as const;
export const webhookEventTypeSchema = z.enum(webhookEventTypes);
export type WebhookEventType = (typeof webhookEventTypes)[number];

export const pingEventType = 'millrace.endpoint.ping.v1' satisfies WebhookEventType;

/** The body of every webhook to a registered endpoint. */
export const webhookBodySchema = z
  .object({
    type: webhookEventTypeSchema,
    /** When what it tells of happened. */
    timestamp: z.iso.datetime(),
    /** By type: of a job `{job_id, status, result, …}`, and thin `{job_id, status, result_url}`. */
    data: z.looseObject({}),
  })
  .meta({ id: 'WebhookBody' });
export type WebhookBody = z.infer<typeof webhookBodySchema>;
