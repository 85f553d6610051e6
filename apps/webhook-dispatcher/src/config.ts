import { certificateFileSchema, cidrsSchema, egressProxySchema } from '@millrace/egress';
import {
  csvSchema,
  internalKeySchema,
  parseConfig,
  secretsEnvironment,
  serviceEnvironment,
} from '@millrace/runtime';
import { z } from 'zod';

import {
  retryScheduleMsDefault,
  scheduleEntriesMax,
  scheduleMsMax,
} from './core/retry-schedule.ts';

const scheduleSchema = csvSchema
  .transform((delays) => delays.map(Number))
  .pipe(z.array(z.int().nonnegative()).min(1).max(scheduleEntriesMax))
  .refine((delays) => delays.reduce((sum, delayMs) => sum + delayMs, 0) <= scheduleMsMax, {
    message: 'must not span more than 7 days',
  });

/** What webhook-dispatcher reads from its environment. */
export const configSchema = z.object({
  ...serviceEnvironment,
  ...secretsEnvironment,
  /** Of the role `webhook_dispatcher_api`: what answers one tenant, under row level security. */
  API_DATABASE_URL: serviceEnvironment.DATABASE_URL,
  /** Ranges that callbacks may reach beside the public internet. */
  MILLRACE_EGRESS_ALLOWED_CIDRS: csvSchema.pipe(cidrsSchema).default([]),
  /** Of authorities that are trusted beside the default store. */
  MILLRACE_EGRESS_CA_FILE: certificateFileSchema.optional(),
  /** Every connection to an address that a user gave goes through it. */
  MILLRACE_EGRESS_PROXY: egressProxySchema.optional(),
  /** Where ingest answers to the world; thin bodies point there. */
  MILLRACE_PUBLIC_URL: z.url().default('http://127.0.0.1:8080'),
  /** POSTs at once in this process. */
  MAX_IN_FLIGHT: z.coerce.number().int().min(1).max(10_000).default(1_000),
  LEASE_MS: z.coerce.number().int().min(300).max(600_000).default(10_000),
  /** Milliseconds before each attempt, the first included. */
  RETRY_SCHEDULE_MS: scheduleSchema.default([...retryScheduleMsDefault]),
  /** Milliseconds that a receiver has to answer in. */
  WEBHOOK_TIMEOUT_MS: z.coerce.number().int().min(1_000).max(30_000).default(15_000),
  /** What ingest shows to be told of deliveries; without it nobody is told. */
  MILLRACE_INTERNAL_KEY: internalKeySchema.optional(),
});
export type Config = z.infer<typeof configSchema>;

/** @throws ConfigError that names each variable that is missing or wrong. */
export function readConfig(): Config {
  return parseConfig(configSchema, process.env);
}
