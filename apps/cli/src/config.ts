import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { UsageError } from './core/usage-error.ts';

/** Whose key a command needs. */
export type KeyHolder = 'tenant' | 'operator';

export interface Config {
  /** Where the API is, without a slash at its end. */
  readonly url: string;
  /** @throws UsageError that says where a key is looked for. */
  keyOf(holder: KeyHolder): string;
}

/** What the command line reads from its environment: all of it has a default. */
const configSchema = z.object({
  MILLRACE_URL: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
    .default('http://127.0.0.1:8080'),
  MILLRACE_API_KEY: z.string().optional(),
  MILLRACE_ADMIN_API_KEY: z.string().optional(),
  // The local stack's folder: its keys lie in it.
  MILLRACE_HOME: z.string().default('.millrace'),
});

/** @throws UsageError that names the variable that is wrong. */
export function readConfig(): Config {
  const given = Object.entries(process.env).filter(([, value]) => value !== '');
  const parsed = configSchema.safeParse(Object.fromEntries(given));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UsageError(`correct ${String(issue?.path[0])}: ${issue?.message}`);
  }
  const environment = parsed.data;
  const home = environment.MILLRACE_HOME;
  return {
    url: environment.MILLRACE_URL.replace(/\/+$/, ''),
    keyOf: (holder) =>
      holder === 'tenant'
        ? (environment.MILLRACE_API_KEY ?? readKey('MILLRACE_API_KEY', join(home, 'api-key')))
        : (environment.MILLRACE_ADMIN_API_KEY ??
          readKey('MILLRACE_ADMIN_API_KEY', join(home, 'admin-key'))),
  };
}

function readKey(variable: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    throw new UsageError(`there is no key: set ${variable}, or run where ${file} is`);
  }
}
