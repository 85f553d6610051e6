import { z } from 'zod';

import { deliveryIdSchema, endpointIdSchema } from './ids.ts';
import { momentSchema } from './jobs.ts';
import {
  callbackUrlLengthMax,
  endpointDescriptionLengthMax,
  endpointInFlightDefault,
  endpointInFlightMax,
  endpointRateMax,
  endpointRateMin,
  endpointTimeoutSecondsDefault,
  endpointTimeoutSecondsMax,
  retryScheduleEntriesMax,
  retryScheduleSecondsMax,
  secretExpirySecondsDefault,
  secretExpirySecondsMax,
} from './limits.ts';
import { webhookEventTypes, webhookEventTypeSchema } from './webhook-events.ts';

/** `whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks has it. */
export const webhookSecretSchema = z
  .string()
  .regex(
    /^whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    'must be whsec_ and the base64 of 24 to 64 bytes',
  );

const headerNameSchema = z.string().regex(/^[A-Za-z0-9-]{1,64}$/);
/** Headers of an endpoint: some for its own doors, no more than a server takes. */
const headersMax = 16;
const headerValueLengthMax = 1_024;

const headersSchema = z
  .record(headerNameSchema, z.string().max(headerValueLengthMax))
  .refine((headers) => Object.keys(headers).length <= headersMax, {
    message: `at most ${headersMax} headers`,
  });

const scheduleSchema = z
  .array(z.number().nonnegative())
  .min(1)
  .max(retryScheduleEntriesMax)
  .refine((waits) => waits.reduce((sum, wait) => sum + wait, 0) <= retryScheduleSecondsMax, {
    message: 'must not span more than 7 days',
  });

const eventTypesSchema = z
  .array(webhookEventTypeSchema)
  .max(webhookEventTypes.length)
  .refine((types) => new Set(types).size === types.length, { message: 'must not repeat a type' });

const fields = {
  url: z.string().min(1).max(callbackUrlLengthMax),
  description: z.string().max(endpointDescriptionLengthMax),
  event_types: eventTypesSchema.describe('What it is told; an empty list means everything.'),
  payload: z
    .enum(['full', 'thin'])
    .describe('`thin`: what happened and where the result is, without the result.'),
  rate_per_second: z
    .number()
    .min(endpointRateMin)
    .max(endpointRateMax)
    .nullable()
    .describe('Attempts a second at most, of each process that sends; null: no limit.'),
  in_flight_max: z
    .int()
    .min(1)
    .max(endpointInFlightMax)
    .describe('Attempts at once, of each process that sends.'),
  timeout_seconds: z
    .int()
    .min(1)
    .max(endpointTimeoutSecondsMax)
    .describe('What it has to answer in.'),
  retry_schedule_seconds: scheduleSchema
    .nullable()
    .describe('Seconds before each attempt, the first included; null: as the deployment has it.'),
};

const headersDescription = 'Sent along with every webhook. Their values are shown nowhere.';

/** `POST /v1/webhook-endpoints` */
export const webhookEndpointSubmissionSchema = z
  .strictObject({
    url: fields.url,
    description: fields.description.default(''),
    event_types: fields.event_types.default([]),
    payload: fields.payload.default('full'),
    headers: headersSchema.default({}).describe(headersDescription),
    rate_per_second: fields.rate_per_second.default(null),
    in_flight_max: fields.in_flight_max.default(endpointInFlightDefault),
    timeout_seconds: fields.timeout_seconds.default(endpointTimeoutSecondsDefault),
    retry_schedule_seconds: fields.retry_schedule_seconds.default(null),
    secret: webhookSecretSchema
      .optional()
      .describe('One that the receiver has already; without it a new one is made.'),
  })
  .meta({ id: 'WebhookEndpointSubmission' });
export type WebhookEndpointSubmission = z.infer<typeof webhookEndpointSubmissionSchema>;

/** `PATCH /v1/webhook-endpoints/{id}`: what is named is changed. A header of null is taken away. */
export const webhookEndpointChangeSchema = z
  .strictObject({
    ...fields,
    headers: z
      .record(headerNameSchema, z.string().max(headerValueLengthMax).nullable())
      .describe('Named ones are changed, null takes one away, others stay.'),
    version: z
      .int()
      .positive()
      .describe('Refused when the endpoint has another version by now.'),
  })
  .partial()
  .meta({ id: 'WebhookEndpointChange' });
export type WebhookEndpointChange = z.infer<typeof webhookEndpointChangeSchema>;

export const webhookEndpointStatusSchema = z.enum(['enabled', 'paused', 'disabled']);
export type WebhookEndpointStatus = z.infer<typeof webhookEndpointStatusSchema>;

/** Why it was disabled: 410, its wish, failures for days, a blocked address, the operator. */
export const disabledReasonSchema = z.enum([
  'gone',
  'requested',
  'failing',
  'blocked',
  'operator',
]);
export type DisabledReason = z.infer<typeof disabledReasonSchema>;

/** How the endpoint fares, when anything was sent to it lately. */
export const webhookEndpointHealthSchema = z
  .object({
    /** Nothing is sent until then. */
    closed_until: z.iso.datetime().nullable(),
    closed_why: z.enum(['retry_after', 'breaker']).nullable(),
    last_success_at: z.iso.datetime().nullable(),
    /** Since when nothing it answered was a 2xx. */
    failing_since: z.iso.datetime().nullable(),
    failures: z.int().nonnegative(),
  })
  .meta({ id: 'WebhookEndpointHealth' });
export type WebhookEndpointHealth = z.infer<typeof webhookEndpointHealthSchema>;

/** An endpoint as the API shows it: all but its secrets. */
export const webhookEndpointViewSchema = z
  .object({
    id: endpointIdSchema,
    ...fields,
    /** Names of the headers that are sent along; `[redacted]` stands for their values. */
    headers: z.record(z.string(), z.string()),
    status: webhookEndpointStatusSchema,
    disabled_reason: disabledReasonSchema.nullable(),
    status_changed_at: z.iso.datetime(),
    health: webhookEndpointHealthSchema,
    /** Signing secrets that live, and until when each that was replaced does. */
    secrets: z.array(
      z.object({ created_at: z.iso.datetime(), expires_at: z.iso.datetime().nullable() }),
    ),
    version: z.int().positive(),
    created_at: z.iso.datetime(),
    changed_at: z.iso.datetime(),
  })
  .meta({ id: 'WebhookEndpoint' });
export type WebhookEndpointView = z.infer<typeof webhookEndpointViewSchema>;

/** The same with its newest secret, which is shown once. */
export const webhookEndpointWithSecretSchema = webhookEndpointViewSchema
  .extend({ secret: z.string() })
  .meta({ id: 'WebhookEndpointWithSecret' });
export type WebhookEndpointWithSecret = z.infer<typeof webhookEndpointWithSecretSchema>;

export const webhookEndpointListSchema = z
  .object({ data: z.array(webhookEndpointViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'WebhookEndpointList' });
export type WebhookEndpointList = z.infer<typeof webhookEndpointListSchema>;

/** `POST /v1/webhook-endpoints/{id}/rotate-secret`; no body is the same as `{}`. */
export const endpointSecretRotationSchema = z
  .strictObject({
    expire_previous_in_seconds: z
      .int()
      .min(0)
      .max(secretExpirySecondsMax)
      .default(secretExpirySecondsDefault)
      .describe('Webhooks are signed with the secrets before as well, for so long.'),
    secret: webhookSecretSchema.optional(),
  })
  .meta({ id: 'EndpointSecretRotation' });
export type EndpointSecretRotation = z.infer<typeof endpointSecretRotationSchema>;

/** `POST /v1/webhook-endpoints/{id}/test` answers with the delivery that is on its way. */
export const endpointTestSchema = z
  .object({ delivery_id: deliveryIdSchema, webhook_id: z.string() })
  .meta({ id: 'EndpointTest' });
export type EndpointTest = z.infer<typeof endpointTestSchema>;

/** `POST /v1/webhook-endpoints/{id}/recover`: send again what was not delivered. */
export const endpointRecoverySchema = z
  .strictObject({ since: momentSchema, until: momentSchema.optional() })
  .meta({ id: 'EndpointRecovery' });
export type EndpointRecovery = z.infer<typeof endpointRecoverySchema>;

/** Where webhook-dispatcher answers to ingest, and to nobody without the internal key. */
export const webhookEndpointsPath = '/internal/tenants/:tenant/webhook-endpoints';
