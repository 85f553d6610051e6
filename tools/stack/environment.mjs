/** What each process of the stack finds in its environment. */
import { join } from 'node:path';

/**
 * Of this process's own environment, what would lead a child astray or is a secret. The way out of
 * the network is the machine's, and is passed on.
 */
const withheldPrefix = /^(ANTHROPIC|MILLRACE(?!_EGRESS_(PROXY|CA_FILE)$)|npm|PG)/;
const withheld = new Set([
  'INIT_CWD',
  'DATABASE_URL',
  'KAFKA_BROKERS',
  'HTTP_PORT',
  'HTTP_HOST',
  'NODE_ENV',
]);

/** @param {NodeJS.ProcessEnv} env @returns {NodeJS.ProcessEnv} */
export function inheritedEnvironment(env) {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !withheldPrefix.test(name) && !withheld.has(name)),
  );
}

/**
 * @typedef {import('@millrace/contracts').ServiceName} ServiceName
 *
 * @typedef {{ port: import('./ports.mjs').PortName, role?: string, apiRole?: string }} ServicePlace
 *
 * @typedef {object} ServiceEnvironmentOptions
 * @property {import('./ports.mjs').Ports} ports
 * @property {NodeJS.ProcessEnv} inherited
 * @property {Record<string, string>} rolePasswords
 * @property {string} apiKey
 * @property {string} adminKey
 * @property {string} webhookSecret
 * @property {string} internalKey what services show each other
 * @property {string} secretsKey what secrets of tenants are sealed with
 * @property {string} toolTokenKey what agent-orchestrator seals tokens of tools with
 * @property {{ baseUrl: string | undefined, apiKey: string, isStandIn: boolean }} claude
 */

/** Loopback: where the sample receiver listens. Only a local stack may call it. */
const loopbackCidrs = '127.0.0.0/8,::1/128';
/**
 * Services end within this; the whole stack has 15 s. Whoever stops it does not want to wait for an
 * hour's answer: a model call that is cut off closes as UNKNOWN, and the next start sends it again.
 */
export const serviceStopMs = 6_000;

/**
 * `role` does the work on batches, `apiRole` answers one tenant at a time.
 * @type {Record<ServiceName, ServicePlace>}
 */
export const serviceTable = {
  ingest: { port: 'http', role: 'ingest', apiRole: 'ingest_api' },
  'claude-worker': { port: 'worker', role: 'claude_worker' },
  'agent-orchestrator': { port: 'orchestrator', role: 'agent_orchestrator' },
  'tool-runner': { port: 'tools', role: 'tool_runner', apiRole: 'tool_runner_api' },
  'webhook-dispatcher': {
    port: 'dispatcher',
    role: 'webhook_dispatcher',
    apiRole: 'webhook_dispatcher_api',
  },
};

export const serviceNames = /** @type {ServiceName[]} */ (Object.keys(serviceTable));

/** Every role that a service logs in with. */
export const databaseRoles = Object.values(serviceTable).flatMap(({ role, apiRole }) => [
  ...(role === undefined ? [] : [role]),
  ...(apiRole === undefined ? [] : [apiRole]),
]);

/**
 * @param {ServiceName} service
 * @param {ServiceEnvironmentOptions} options
 * @returns {NodeJS.ProcessEnv}
 */
export function serviceEnvironment(service, options) {
  const { ports, inherited, rolePasswords } = options;
  const { port, role } = serviceTable[service];
  return {
    SHUTDOWN_MS: String(serviceStopMs - 1_000),
    // A collector that is not there must not hold up the end.
    OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
    ...inherited,
    NODE_ENV: 'production',
    KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: String(ports[port]),
    ...(role === undefined
      ? {}
      : { DATABASE_URL: databaseUrl({ role, password: rolePasswords[role] ?? '', ports }) }),
    ...ownEnvironment(service, options),
  };
}

/** @param {{ role: string, password: string, ports: import('./ports.mjs').Ports }} options */
export function databaseUrl({ role, password, ports }) {
  return `postgres://${role}:${password}@127.0.0.1:${ports.postgres}/millrace`;
}

/**
 * @param {ServiceName} service
 * @param {ServiceEnvironmentOptions} options
 * @returns {NodeJS.ProcessEnv}
 */
function ownEnvironment(service, options) {
  const { ports, rolePasswords, apiKey, adminKey, webhookSecret } = options;
  const { internalKey, secretsKey, toolTokenKey, claude } = options;
  switch (service) {
    case 'ingest':
      return {
        API_DATABASE_URL: databaseUrl({
          role: 'ingest_api',
          password: rolePasswords['ingest_api'] ?? '',
          ports,
        }),
        MILLRACE_ADMIN_API_KEY: adminKey,
        MILLRACE_DEFAULT_API_KEY: apiKey,
        MILLRACE_DEFAULT_WEBHOOK_SECRET: webhookSecret,
        MILLRACE_EGRESS_ALLOWED_CIDRS: loopbackCidrs,
        MILLRACE_CLAUDE_STAND_IN: String(claude.isStandIn),
        // The first replica's: any of them reads the same rows.
        MILLRACE_DISPATCHER_URL: `http://127.0.0.1:${ports.dispatcher}`,
        MILLRACE_ORCHESTRATOR_URL: `http://127.0.0.1:${ports.orchestrator}`,
        MILLRACE_TOOL_RUNNER_URL: `http://127.0.0.1:${ports.tools}`,
        MILLRACE_INTERNAL_KEY: internalKey,
        MILLRACE_SECRETS_KEY: secretsKey,
      };
    case 'claude-worker':
      return {
        ANTHROPIC_API_KEY: claude.apiKey,
        ...(claude.baseUrl === undefined ? {} : { ANTHROPIC_BASE_URL: claude.baseUrl }),
        MILLRACE_CLAUDE_STAND_IN: String(claude.isStandIn),
      };
    case 'tool-runner':
      return {
        API_DATABASE_URL: databaseUrl({
          role: 'tool_runner_api',
          password: rolePasswords['tool_runner_api'] ?? '',
          ports,
        }),
        MILLRACE_EGRESS_ALLOWED_CIDRS: loopbackCidrs,
        MILLRACE_INTERNAL_KEY: internalKey,
        MILLRACE_SECRETS_KEY: secretsKey,
      };
    case 'webhook-dispatcher':
      return {
        API_DATABASE_URL: databaseUrl({
          role: 'webhook_dispatcher_api',
          password: rolePasswords['webhook_dispatcher_api'] ?? '',
          ports,
        }),
        MILLRACE_SECRETS_KEY: secretsKey,
        MILLRACE_EGRESS_ALLOWED_CIDRS: loopbackCidrs,
        MILLRACE_PUBLIC_URL: `http://127.0.0.1:${ports.http}`,
        MILLRACE_INTERNAL_KEY: internalKey,
      };
    case 'agent-orchestrator':
      return { TOOL_TOKEN_KEY: toolTokenKey, MILLRACE_INTERNAL_KEY: internalKey };
  }
}

/** @param {string} folder of the repository @param {ServiceName} service */
export const mainFileOf = (folder, service) => join(folder, 'apps', service, 'dist', 'main.js');
