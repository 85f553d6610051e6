import { httpBodyBytesMax } from '@millrace/contracts';
import { cidrsSchema } from '@millrace/egress';
import {
  csvSchema,
  flagSchema,
  internalKeySchema,
  parseConfig,
  secretsEnvironment,
  serviceEnvironment,
} from '@millrace/runtime';
import { z } from 'zod';

/**
 * A body of 10 MiB becomes about five times that while it is parsed, judged and written: this
 * comes to less than 1 GiB of memory at the worst.
 */
const bodyBytesMaxDefault = 128 * 1024 * 1024;
const countSchema = z.coerce.number().int().min(1).max(100_000);

/** The environment of this service, parsed once. README.md lists it for people. */
export const ingestEnvironment = z.object({
  ...serviceEnvironment,
  ...secretsEnvironment,
  /** Of the role `ingest_api`: what reads for one tenant, under row level security. */
  API_DATABASE_URL: serviceEnvironment.DATABASE_URL,
  /** Key of the tenant `default`, made at start: `mr_` and the base64url of 32 random bytes. */
  MILLRACE_DEFAULT_API_KEY: z
    .string()
    .regex(/^mr_[A-Za-z0-9_-]{16,128}$/, 'must be mr_ and 16 to 128 characters of base64url')
    .optional(),
  /** Its signing secret: `whsec_` and the base64 of 24 to 64 random bytes. */
  MILLRACE_DEFAULT_WEBHOOK_SECRET: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and base64')
    .optional(),
  /** The operator's key, which makes tenants: `mra_` and the base64url of 32 random bytes. */
  MILLRACE_ADMIN_API_KEY: z
    .string()
    .regex(/^mra_[A-Za-z0-9_-]{43,128}$/, 'must be mra_ and at least 43 characters of base64url')
    .optional(),
  MILLRACE_DEFAULT_MODEL: z.string().min(1).max(128).default('claude-sonnet-5-5'),
  /** Bytes of request bodies that one process has in memory; what comes above gets a 503. */
  BODY_BYTES_MAX: z.coerce
    .number()
    .int()
    .min(2 * httpBodyBytesMax)
    .default(bodyBytesMaxDefault),
  /** Calls of one tenant that may wait; a job that comes above gets a 429. */
  ADMISSION_TENANT_WAITING_MAX: z.coerce.number().int().min(1).default(100_000),
  /**
   * How long a call of the lane `standard` may wait in the queue before more of them get a 503:
   * bulk work from half of it on, interactive work when its own calls wait three tenths of it.
   */
  ADMISSION_AGE_MS: z.coerce.number().int().min(1_000).default(600_000),
  /** Private ranges that callback URLs may point to. */
  MILLRACE_EGRESS_ALLOWED_CIDRS: csvSchema.pipe(cidrsSchema).default([]),
  /** Event streams of this process: 10,000 take a few hundred MiB. */
  STREAMS_MAX: countSchema.default(10_000),
  /** Of one tenant: none may take all of them. */
  STREAMS_PER_TENANT_MAX: countSchema.default(2_500),
  /** Where webhook-dispatcher answers; without it timelines say that they miss its part. */
  MILLRACE_DISPATCHER_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Where agent-orchestrator answers; without it nobody can be asked of the steps of a run. */
  MILLRACE_ORCHESTRATOR_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Where tool-runner answers; without it there are no tools. */
  MILLRACE_TOOL_RUNNER_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** What they are shown: the same key as their own. */
  MILLRACE_INTERNAL_KEY: internalKeySchema.optional(),
  /** What `/healthz` says about who answers. */
  MILLRACE_CLAUDE_STAND_IN: flagSchema.default(false),
});
export type IngestConfig = z.output<typeof ingestEnvironment>;

/** @throws ConfigError that names what is missing or wrong. */
export function readConfig(): IngestConfig {
  return parseConfig(ingestEnvironment, process.env);
}
