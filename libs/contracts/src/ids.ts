import { z } from 'zod';

import { jobIdLengthMax, sessionIdLengthMax } from './limits.ts';

const idPattern = /^[A-Za-z0-9._:-]+$/;

/** Lower-case name of a tenant, as in topic names and ACLs. */
export const tenantIdSchema = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9][a-z0-9-]*$/)
  .brand<'TenantId'>();
export type TenantId = z.infer<typeof tenantIdSchema>;

/** A job's id, unique per tenant: the caller's own, or `job_<ULID>`. */
export const jobIdSchema = z
  .string()
  .min(1)
  .max(jobIdLengthMax)
  .regex(idPattern, 'must be 1 to 128 characters of A-Z a-z 0-9 . _ : -')
  .brand<'JobId'>();
export type JobId = z.infer<typeof jobIdSchema>;

/** The conversation that a job's turn belongs to, unique per tenant. */
export const sessionIdSchema = z
  .string()
  .min(1)
  .max(sessionIdLengthMax)
  .regex(idPattern, 'must be 1 to 128 characters of A-Z a-z 0-9 . _ : -')
  .brand<'SessionId'>();
export type SessionId = z.infer<typeof sessionIdSchema>;

/** The tenant that the local stack and the topic `jobs.submitted.v1` belong to. */
export const defaultTenant = tenantIdSchema.parse('default');
