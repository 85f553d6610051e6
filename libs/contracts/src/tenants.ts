import { z } from 'zod';

import { tenantIdSchema } from './ids.ts';
import {
  apiKeyLabelLengthMax,
  secretExpirySecondsDefault,
  secretExpirySecondsMax,
} from './limits.ts';

/** Names that would be taken for something else, in a topic, a role, a log line or a URL. */
const reservedTenantIds = new Set([
  'admin',
  'all',
  'api',
  'default',
  'internal',
  'millrace',
  'none',
  'operator',
  'public',
  'system',
]);

/** The body of `POST /v1/tenants`. The id is in topic names for ever, so it is the caller's. */
export const tenantSubmissionSchema = z
  .strictObject({
    id: tenantIdSchema
      .refine((id) => !id.endsWith('-'), 'must not end with a hyphen')
      .refine((id) => !reservedTenantIds.has(id), 'is reserved'),
  })
  .meta({ id: 'TenantSubmission' });

/** A tenant as the operator sees it. */
export const tenantViewSchema = z
  .object({
    id: z.string(),
    /** The topic in which the tenant hands work over. */
    intake_topic: z.string(),
    created_at: z.iso.datetime(),
    changed_at: z.iso.datetime(),
    /** Since when its keys do not work and its topic waits; null while it is enabled. */
    disabled_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Tenant' });
export type TenantView = z.infer<typeof tenantViewSchema>;

/** The same with its newest signing secret, which is shown once. */
export const tenantWithSecretSchema = tenantViewSchema
  .extend({ webhook_secret: z.string() })
  .meta({ id: 'TenantWithSecret' });
export type TenantWithSecret = z.infer<typeof tenantWithSecretSchema>;

export const tenantListSchema = z
  .object({ data: z.array(tenantViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'TenantList' });
export type TenantList = z.infer<typeof tenantListSchema>;

/** The body of `POST /v1/tenants/{id}/rotate-webhook-secret`; none is the same as `{}`. */
export const secretRotationSchema = z
  .strictObject({
    expire_previous_in_seconds: z
      .int()
      .min(0)
      .max(secretExpirySecondsMax)
      .optional()
      .describe('Webhooks are signed with the secrets before as well, for so long (a day).'),
    keep_previous: z
      .boolean()
      .optional()
      .describe('False is short for `expire_previous_in_seconds` of 0.'),
  })
  .transform(({ expire_previous_in_seconds: seconds, keep_previous: keeps }) => ({
    expirePreviousMs: (seconds ?? (keeps === false ? 0 : secretExpirySecondsDefault)) * 1_000,
  }))
  .meta({ id: 'SecretRotation' });

/** The body of `POST /v1/api-keys`. */
export const apiKeySubmissionSchema = z
  .strictObject({
    label: z.string().min(1).max(apiKeyLabelLengthMax),
    /** Whose key; the operator names it, a tenant's own key makes keys of its tenant. */
    tenant: tenantIdSchema.optional(),
  })
  .meta({ id: 'ApiKeySubmission' });

/** A key without the key. */
export const apiKeyViewSchema = z
  .object({
    id: z.string(),
    tenant: z.string(),
    label: z.string(),
    /** The last four characters of the key, by which people know it. */
    last4: z.string(),
    created_at: z.iso.datetime(),
    /** To the minute; null for a key that was never used. */
    last_used_at: z.iso.datetime().nullable(),
    revoked_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKeyView = z.infer<typeof apiKeyViewSchema>;

/** The same with the key itself, which is shown once. */
export const newApiKeySchema = apiKeyViewSchema
  .extend({ key: z.string() })
  .meta({ id: 'NewApiKey' });
export type NewApiKey = z.infer<typeof newApiKeySchema>;

export const apiKeyListSchema = z
  .object({ data: z.array(apiKeyViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'ApiKeyList' });
export type ApiKeyList = z.infer<typeof apiKeyListSchema>;
