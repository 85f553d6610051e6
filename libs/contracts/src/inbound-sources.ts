import { z } from 'zod';

import { inboundEventsMax, inboundNameLengthMax, inboundSecretsMax } from './limits.ts';

/** Whose webhooks are understood: how they are signed, and what names a delivery. */
export const inboundProviders = [
  'github',
  'stripe',
  'slack',
  'zendesk',
  'standard',
  'generic',
] as const;
export const inboundProviderSchema = z.enum(inboundProviders);
export type InboundProvider = z.infer<typeof inboundProviderSchema>;

/** Unguessable, since it is the whole address: there is no tenant in the path. */
export const inboundSourceIdSchema = z.string().regex(/^src_[A-Za-z0-9_-]{32}$/);

const headerNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, 'must be the name of a header')
  .transform((name) => name.toLowerCase());

/** As the provider gave it. Standard Webhooks: `whsec_` and base64. */
const secretSchema = z.string().min(8).max(512);

/**
 * A job's submission whose prompt, messages, session and metadata may have placeholders of Liquid,
 * such as `{{ payload.issue.title }}`. It is checked as a whole when the source is made.
 */
export const inboundTemplateSchema = z
  .looseObject({})
  .meta({ id: 'InboundTemplate', description: 'A JobSubmission with Liquid in its texts.' });
export type InboundTemplate = z.infer<typeof inboundTemplateSchema>;

const fields = {
  name: z.string().min(1).max(inboundNameLengthMax),
  template: inboundTemplateSchema,
  /** Types of the provider's events that start a job; without it all of them do. */
  events: z.array(z.string().min(1).max(128)).max(inboundEventsMax).optional(),
  /** `generic` only: the header with the hex HMAC-SHA256 of the body. */
  signature_header: headerNameSchema.optional(),
  /** `generic` only: the header that names a delivery; without it the body's hash does. */
  delivery_header: headerNameSchema.optional(),
};

/** The body of `POST /v1/inbound-sources`. */
export const inboundSourceSubmissionSchema = z
  .strictObject({ ...fields, provider: inboundProviderSchema, secret: secretSchema })
  .meta({ id: 'InboundSourceSubmission' });
export type InboundSourceSubmission = z.infer<typeof inboundSourceSubmissionSchema>;

/** The body of `PATCH /v1/inbound-sources/{id}`: what is given is changed. */
export const inboundSourceChangeSchema = z
  .strictObject({
    name: fields.name.optional(),
    template: fields.template.optional(),
    events: fields.events.nullable(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: 'InboundSourceChange' });
export type InboundSourceChange = z.infer<typeof inboundSourceChangeSchema>;

/** The body of `POST /v1/inbound-sources/{id}/secrets`: what is signed with from now on. */
export const inboundSecretSchema = z
  .strictObject({
    secret: secretSchema,
    /** Whether those before it are believed, too, until the next change; ten at most. */
    keep_previous: z.boolean().default(true),
  })
  .meta({ id: 'InboundSecret' });

export const inboundSourceViewSchema = z
  .object({
    id: inboundSourceIdSchema,
    /** Where the provider is to send to, below the address of this API. */
    path: z.string(),
    name: z.string(),
    provider: inboundProviderSchema,
    events: z.array(z.string()).optional(),
    signature_header: z.string().optional(),
    delivery_header: z.string().optional(),
    template: inboundTemplateSchema,
    /** How many secrets are believed; none is ever shown. */
    secrets: z.int().min(1).max(inboundSecretsMax),
    enabled: z.boolean(),
    created_at: z.iso.datetime(),
    changed_at: z.iso.datetime(),
  })
  .meta({ id: 'InboundSource' });
export type InboundSourceView = z.infer<typeof inboundSourceViewSchema>;

export const inboundSourceListSchema = z
  .object({ data: z.array(inboundSourceViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'InboundSourceList' });
export type InboundSourceList = z.infer<typeof inboundSourceListSchema>;

/** What a provider is answered: it reads the status, people read the rest. */
export const inboundAnswerSchema = z
  .object({
    status: z.enum(['accepted', 'duplicate', 'ignored', 'pong']),
    job_id: z.string().optional(),
  })
  .meta({ id: 'InboundAnswer' });
export type InboundAnswer = z.infer<typeof inboundAnswerSchema>;
