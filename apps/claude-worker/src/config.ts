import { flagSchema, parseConfig, serviceEnvironment } from '@millrace/runtime';
import { z } from 'zod';

const msSchema = z.coerce.number().int().min(1);
/** The longest answers are streamed for about an hour. */
const totalMsDefault = 3_600_000;
/** Of a stop beside its longest call: leaving the group, settling, the last messages. */
const stopMsBeside = 30_000;

/** The environment of claude-worker. */
export const claudeWorkerEnvironment = z.object({
  ...serviceEnvironment,
  /** No other service gets it. A stand-in takes any. */
  ANTHROPIC_API_KEY: z.string().min(1),
  /** The SDK's own default when absent. */
  ANTHROPIC_BASE_URL: z.url().optional(),
  /** Says in `/healthz` that no real model answers. A job says so by what answered it. */
  MILLRACE_CLAUDE_STAND_IN: flagSchema.default(false),
  /** Calls at once. */
  MAX_IN_FLIGHT: z.coerce.number().int().min(1).max(10_000).default(1_000),
  /** The first retry's delay; all others, and the gate's, are multiples of it. */
  RETRY_BASE_MS: msSchema.default(1_000),
  FIRST_EVENT_TIMEOUT_MS: msSchema.default(120_000),
  PROGRESS_TIMEOUT_MS: msSchema.default(120_000),
  TOTAL_TIMEOUT_MS: msSchema.max(86_400_000).default(totalMsDefault),
  /** Whatever a call may take: one that a stop cuts off is paid, and sent again (ADR 0017). */
  SHUTDOWN_MS: msSchema.min(100).max(90_000_000).default(totalMsDefault + stopMsBeside),
  UNKNOWN_REDISPATCH_MAX: z.coerce.number().int().min(0).max(10).default(1),
  LEASE_MS: msSchema.min(300).default(10_000),
  /** Whole days without a turn, then a session's conversation is deleted. */
  SESSION_RETENTION_DAYS: z.coerce.number().int().min(1).max(3_650).default(90),
  DELTA_LINGER_MS: z.coerce.number().int().min(0).max(1_000).default(20),
});
export type ClaudeWorkerConfig = z.infer<typeof claudeWorkerEnvironment>;

/** @throws ConfigError that names each variable which is missing or wrong. */
export function readConfig(): ClaudeWorkerConfig {
  return parseConfig(claudeWorkerEnvironment, process.env);
}
