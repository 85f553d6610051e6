import { tenantIdSchema } from '@millrace/contracts';
import { z } from 'zod';

import { listQuerySchema } from './list-cursor.ts';

/** The query of `GET /v1/tenants`. */
export const tenantQuerySchema = listQuerySchema.pick({ cursor: true, limit: true });
export type TenantQuery = z.infer<typeof tenantQuerySchema>;

/** Whose keys, for the operator. */
export const keyOwnerQuerySchema = z.strictObject({ tenant: tenantIdSchema.optional() });

/** The query of `GET /v1/api-keys`. */
export const apiKeyQuerySchema = tenantQuerySchema.extend(keyOwnerQuerySchema.shape);
export type ApiKeyQuery = z.infer<typeof apiKeyQuerySchema>;
