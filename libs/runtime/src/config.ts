import { z } from 'zod';

import { failpointActions, type ArmedFailpoint } from './failpoint.ts';

/** A comma-separated list, as environment variables carry one: `a:1,b:2`. */
export const csvSchema = z.string().transform((text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);

/** `true`/`false`, `1`/`0`, `yes`/`no`, as people write flags in an environment. */
export const flagSchema = z.stringbool();

/** 0: any that is free; the log of the start tells it. */
export const portSchema = z.coerce.number().int().min(0).max(65_535);

/** What services show each other: the base64url of 32 random bytes, or more. */
export const internalKeySchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43,128}$/, 'must be the base64url of at least 32 random bytes');

/**
 * Spread into the schema of a service that keeps secrets of others: what they are sealed with, the
 * newest first. Earlier keys stay until nothing is left that they sealed.
 */
export const secretsEnvironment = {
  MILLRACE_SECRETS_KEY: csvSchema.pipe(z.array(internalKeySchema)).default([]),
};

/** How long the answer to one OTLP export may take: a stop must not wait for a dead collector. */
const otlpTimeoutMsDefault = 1000;

/** What every service reads from its environment, except those without a database. */
export const serviceEnvironmentWithoutDatabase = {
  KAFKA_BROKERS: csvSchema.pipe(z.array(z.string()).min(1)),
  HTTP_PORT: portSchema,
  HTTP_HOST: z.string().min(1).default('127.0.0.1'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  SHUTDOWN_MS: z.coerce.number().int().min(100).max(600_000).default(10_000),
  OTEL_EXPORTER_OTLP_TIMEOUT: z.coerce.number().int().min(1).default(otlpTimeoutMsDefault),
};

/** The common part of a service's zod schema: `z.object({ ...serviceEnvironment, … })`. */
export const serviceEnvironment = {
  ...serviceEnvironmentWithoutDatabase,
  DATABASE_URL: z.string().regex(/^postgres(ql)?:\/\//, 'must be a postgres:// URL'),
};

export type CommonConfig = z.infer<z.ZodObject<typeof serviceEnvironmentWithoutDatabase>>;

/** The environment is not usable. Its message names every variable and what is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads a service's configuration, once, at its start.
 *
 * @throws ConfigError that names each variable which is missing or wrong.
 */
export function parseConfig<S extends z.ZodObject>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
): z.output<S> {
  const given = Object.fromEntries(
    // An empty variable is an absent one: compose files and shells write both.
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.map((issue) => describeIssue(issue, given)).join('; '));
}

function describeIssue(issue: z.core.$ZodIssue, given: Readonly<Record<string, unknown>>): string {
  const variable = String(issue.path[0] ?? 'environment');
  if (given[variable] === undefined) return `set ${variable}: it is missing`;
  // The value stays out of the message: it may be a key or hold a password.
  return `correct ${variable}: ${issue.message}`;
}

const failpointSchema = z.object({
  name: z.string().min(1),
  action: z.enum(failpointActions),
  visit: z.coerce.number().int().positive(),
});

/**
 * Where and how this process is to fail, `name:action:visit`; nowhere without the variable. For
 * specifications only, so it is in no service's schema and in no list of settings.
 */
export function readFailpoint(): ArmedFailpoint | undefined {
  const text = process.env['MILLRACE_FAILPOINT'];
  return text === undefined ? undefined : parseFailpoint(text);
}

/** A place as `name:action:visit`. @throws when it is none. */
export function parseFailpoint(text: string): ArmedFailpoint {
  const [name, action, visit] = text.split(':');
  return failpointSchema.parse({ name, action, visit });
}
