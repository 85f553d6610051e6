import { z } from 'zod';

import { errorCodeSchema } from './errors.ts';
import { deliveryIdSchema, endpointIdSchema, jobIdSchema, tenantIdSchema } from './ids.ts';
import { disabledReasonSchema } from './webhook-endpoints.ts';
import { webhookEventTypeSchema } from './webhook-events.ts';

/** Data of the notices about endpoints. They go to Kafka, and to the tenant's other endpoints. */

const aboutEndpoint = {
  tenant: tenantIdSchema,
  endpoint: endpointIdSchema,
  url: z.string(),
  at: z.iso.datetime(),
};

/** `millrace.endpoint.failing.v1`: once until its next 2xx. */
export const endpointFailingSchema = z
  .object({
    ...aboutEndpoint,
    /** It answers by a redirect, which is never followed; or most of what it is sent fails. */
    reason: z.enum(['redirect', 'failures']),
    failing_since: z.iso.datetime(),
    failures: z.int().nonnegative(),
  })
  .meta({ id: 'EndpointFailing' });
export type EndpointFailing = z.infer<typeof endpointFailingSchema>;

/** `millrace.endpoint.disabled.v1`: what it is sent from now on is kept, and can be replayed. */
export const endpointDisabledSchema = z
  .object({ ...aboutEndpoint, reason: disabledReasonSchema })
  .meta({ id: 'EndpointDisabled' });
export type EndpointDisabled = z.infer<typeof endpointDisabledSchema>;

/** `millrace.delivery.exhausted.v1`: one delivery was given up. */
export const deliveryExhaustedSchema = z
  .object({
    ...aboutEndpoint,
    delivery_id: deliveryIdSchema,
    webhook_id: z.string(),
    event_type: webhookEventTypeSchema,
    job_id: jobIdSchema.optional(),
    attempts: z.int().nonnegative(),
    code: errorCodeSchema,
  })
  .meta({ id: 'DeliveryExhausted' });
export type DeliveryExhausted = z.infer<typeof deliveryExhaustedSchema>;

export type WebhookNotice = EndpointFailing | EndpointDisabled | DeliveryExhausted;
