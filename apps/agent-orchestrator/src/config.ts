import { parseConfig, serviceEnvironmentWithoutDatabase } from '@millrace/runtime';
import { z } from 'zod';

/** What agent-orchestrator reads from its environment: no database until workflows run. */
export const configSchema = z.object(serviceEnvironmentWithoutDatabase);
export type Config = z.infer<typeof configSchema>;

/** @throws ConfigError that names each variable that is missing or wrong. */
export function readConfig(): Config {
  return parseConfig(configSchema, process.env);
}
