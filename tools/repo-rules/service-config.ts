import { findFiles, readText } from './repository.ts';

export const services = [
  'ingest',
  'claude-worker',
  'agent-orchestrator',
  'tool-runner',
  'webhook-dispatcher',
] as const;
export type Service = (typeof services)[number];

/** Names of a zod object's fields that are environment variables. */
function variablesIn(text: string): string[] {
  return [...text.matchAll(/^\s+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+):/gm)].map(
    ([, variable]) => variable ?? '',
  );
}

const runtimeConfig = 'libs/runtime/src/config.ts';
const withoutDatabase = 'serviceEnvironmentWithoutDatabase';

/** The environment variables that every service reads. */
export function commonVariables(): string[] {
  return variablesIn(readText(runtimeConfig));
}

/** The environment variables that one service reads, by its `config.ts`. */
export function variablesOf(service: Service): string[] {
  const text = readText(`apps/${service}/src/config.ts`);
  const ownDatabase = !text.includes(withoutDatabase);
  const common = commonVariables().filter((name) => ownDatabase || name !== 'DATABASE_URL');
  return [...new Set([...common, ...variablesIn(text)])].sort();
}

/** The environment variables that the command line reads. */
export function commandLineVariables(): string[] {
  return variablesIn(readText('apps/cli/src/config.ts'));
}

/** The variables that choose the local stack's ports, with their defaults. */
export function portVariables(): Record<string, string> {
  const rows = readText('tools/stack/ports.mjs').matchAll(/variable: '([A-Z_]+)',\s+port: (\d+)/g);
  const ports = new Map([...rows].map(([, variable = '', port = '']) => [variable, port]));
  return Object.fromEntries(ports.entries());
}

/** Sources of a service without its specs, and without what they run. */
export function sourcesOf(service: Service): { path: string; text: string }[] {
  return findFiles(`apps/${service}/src/**/*.ts`)
    .filter((path) => !/\.(?:spec|fixture)\.ts$/.test(path))
    .map((path) => ({ path, text: readText(path) }));
}
