import { z } from 'zod';

import { internalIdLengthMax, jobIdLengthMax, sessionIdLengthMax } from './limits.ts';

const idPattern = /^[A-Za-z0-9._:-]+$/;

/** Lower-case name of a tenant, as in topic names and ACLs. */
export const tenantIdSchema = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9][a-z0-9-]*$/, 'must be 1 to 63 characters of a-z 0-9 -, the first no -')
  .brand<'TenantId'>();
export type TenantId = z.infer<typeof tenantIdSchema>;

/**
 * A job's id, unique per tenant: the caller's own, or `job_<ULID>`. Each is also the id of a
 * workflow, and of a model call: of the job's own.
 */
export const jobIdSchema = z
  .string()
  .min(1)
  .max(jobIdLengthMax)
  .regex(idPattern, 'must be 1 to 128 characters of A-Z a-z 0-9 . _ : -')
  .brand<'JobId' | 'WorkflowId' | 'CallId'>();
export type JobId = z.infer<typeof jobIdSchema>;

/** The conversation that a job's turn belongs to, unique per tenant: one that users name. */
export const sessionIdSchema = z
  .string()
  .min(1)
  .max(sessionIdLengthMax)
  .regex(idPattern, 'must be 1 to 128 characters of A-Z a-z 0-9 . _ : -')
  .brand<'SessionId' | 'ConversationId'>();
export type SessionId = z.infer<typeof sessionIdSchema>;

/**
 * A workflow's id: its job's, or with `/` in it one that only the services know, a sub-agent's
 * `<parent>/c<n>`. No user's id has a slash.
 */
export const workflowIdSchema = z
  .string()
  .min(1)
  .max(internalIdLengthMax)
  .regex(/^[A-Za-z0-9._:/-]+$/)
  .brand<'WorkflowId'>();
export type WorkflowId = z.infer<typeof workflowIdSchema>;

/** A model call: of a message job its id, of a workflow `<workflow>/m<n>`. */
export const callIdSchema = z
  .string()
  .min(1)
  .max(internalIdLengthMax)
  .regex(/^[A-Za-z0-9._:/-]+$/)
  .brand<'CallId'>();
export type CallId = z.infer<typeof callIdSchema>;

/** The conversation that a call belongs to: a session's id, or of a workflow its id and `/s`. */
export const conversationIdSchema = z
  .string()
  .min(1)
  .max(internalIdLengthMax)
  .regex(/^[A-Za-z0-9._:/-]+$/)
  .brand<'ConversationId'>();
export type ConversationId = z.infer<typeof conversationIdSchema>;

/** A registered receiver of webhooks: `ep_<ULID>`. */
export const endpointIdSchema = z
  .string()
  .regex(/^ep_[0-9A-HJKMNP-TV-Z]{26}$/, 'must be ep_ and 26 characters')
  .brand<'EndpointId'>();
export type EndpointId = z.infer<typeof endpointIdSchema>;

/** A webhook on its way to one receiver: `msg_…` to a callback URL, `msg_….ep_…` to an endpoint. */
export const deliveryIdSchema = z
  .string()
  .max(internalIdLengthMax)
  .regex(/^msg_[A-Za-z0-9_-]+(\.ep_[0-9A-HJKMNP-TV-Z]{26})?$/, 'must be msg_…')
  .brand<'DeliveryId'>();
export type DeliveryId = z.infer<typeof deliveryIdSchema>;

/** The tenant that the local stack and the topic `jobs.submitted.v1` belong to. */
export const defaultTenant = tenantIdSchema.parse('default');
