import { certificateFileSchema, cidrsSchema, egressProxySchema } from '@millrace/egress';
import {
  csvSchema,
  internalKeySchema,
  parseConfig,
  secretsEnvironment,
  serviceEnvironment,
} from '@millrace/runtime';
import { z } from 'zod';

/** What tool-runner reads from its environment. */
export const configSchema = z.object({
  ...serviceEnvironment,
  ...secretsEnvironment,
  /** Of the role `tool_runner_api`: what answers one tenant, under row level security. */
  API_DATABASE_URL: serviceEnvironment.DATABASE_URL,
  /** Ranges that tools may lie in beside the public internet. */
  MILLRACE_EGRESS_ALLOWED_CIDRS: csvSchema.pipe(cidrsSchema).default([]),
  /** Of authorities that are trusted beside the default store. */
  MILLRACE_EGRESS_CA_FILE: certificateFileSchema.optional(),
  /** Every connection to an address that a user gave goes through it. */
  MILLRACE_EGRESS_PROXY: egressProxySchema.optional(),
  /** Calls at once in this process. */
  MAX_IN_FLIGHT: z.coerce.number().int().min(1).max(10_000).default(500),
  LEASE_MS: z.coerce.number().int().min(300).max(600_000).default(10_000),
  /** Milliseconds before the first retry of a tool; the pause doubles. */
  RETRY_BASE_MS: z.coerce.number().int().min(10).max(60_000).default(1_000),
  /** What ingest shows to manage a tenant's tools; without it nobody does. */
  MILLRACE_INTERNAL_KEY: internalKeySchema.optional(),
});
export type Config = z.infer<typeof configSchema>;

/** @throws ConfigError that names each variable that is missing or wrong. */
export function readConfig(): Config {
  return parseConfig(configSchema, process.env);
}
