import { internalKeySchema, parseConfig, serviceEnvironment } from '@millrace/runtime';
import { z } from 'zod';

/** What agent-orchestrator reads from its environment. */
export const configSchema = z.object({
  ...serviceEnvironment,
  /** Seals what a tool's result has to bring back. No other service has it. */
  TOOL_TOKEN_KEY: internalKeySchema,
  /** Prices of models; the file that comes with the release when absent. */
  PRICES_FILE: z.string().min(1).optional(),
  /** What ingest shows to be told of workflows; without it nobody is told. */
  MILLRACE_INTERNAL_KEY: internalKeySchema.optional(),
});
export type Config = z.infer<typeof configSchema>;

/** @throws ConfigError that names each variable that is missing or wrong. */
export function readConfig(): Config {
  return parseConfig(configSchema, process.env);
}
