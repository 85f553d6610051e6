/** The local stack's ports: their variables, defaults, and whether they are free. */
import { connect, createServer } from 'node:net';

import { StackError } from './stack-error.mjs';

/**
 * @typedef {'http' | 'worker' | 'orchestrator' | 'dispatcher' | 'tools' | 'kafka'
 *   | 'kafkaController' | 'postgres' | 'claude' | 'receiver'} PortName
 * @typedef {Record<PortName, number>} Ports
 */

/** @type {Readonly<Record<PortName, { variable: string, port: number, what: string }>>} */
export const portTable = {
  http: { variable: 'MILLRACE_HTTP_PORT', port: 8080, what: 'the HTTP API (ingest)' },
  worker: { variable: 'MILLRACE_WORKER_PORT', port: 8081, what: 'claude-worker' },
  orchestrator: { variable: 'MILLRACE_ORCHESTRATOR_PORT', port: 8082, what: 'agent-orchestrator' },
  dispatcher: { variable: 'MILLRACE_DISPATCHER_PORT', port: 8083, what: 'webhook-dispatcher' },
  tools: { variable: 'MILLRACE_TOOLS_PORT', port: 8084, what: 'tool-runner' },
  kafka: { variable: 'MILLRACE_KAFKA_PORT', port: 9092, what: 'Kafka' },
  kafkaController: {
    variable: 'MILLRACE_KAFKA_CONTROLLER_PORT',
    port: 9093,
    what: "Kafka's controller",
  },
  postgres: { variable: 'MILLRACE_POSTGRES_PORT', port: 54329, what: 'PostgreSQL' },
  claude: { variable: 'MILLRACE_CLAUDE_PORT', port: 8090, what: 'the Claude stand-in' },
  receiver: { variable: 'MILLRACE_RECEIVER_PORT', port: 8091, what: 'the sample webhook receiver' },
};

/** @type {readonly PortName[]} */
const portNames = /** @type {PortName[]} */ (Object.keys(portTable));

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Ports}
 */
export function portsFromEnvironment(env) {
  const ports = /** @type {Ports} */ ({});
  for (const name of portNames) {
    const { variable, port } = portTable[name];
    const given = env[variable];
    const number = given === undefined || given === '' ? port : Number(given);
    if (!Number.isInteger(number) || number < 1 || number > 65_535) {
      throw new StackError(`${variable} is "${given}": it must be a port from 1 to 65535.`);
    }
    ports[name] = number;
  }
  return ports;
}

/** @returns {Promise<Ports>} ports that are free now, each another one */
export async function freePorts() {
  const servers = await Promise.all(portNames.map(() => listenOn(0)));
  const ports = /** @type {Ports} */ ({});
  for (const [index, name] of portNames.entries()) {
    const address = servers[index]?.address();
    if (address && typeof address === 'object') ports[name] = address.port;
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** @returns {Promise<number>} a port that is free now */
export async function freePort() {
  const server = await listenOn(0);
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new TypeError('no port was given');
  return address.port;
}

/**
 * Finds the port that is taken before anything is started.
 * @param {Ports} ports
 * @param {readonly PortName[]} needed
 */
export async function requireFreePorts(ports, needed) {
  /** @type {Map<number, PortName>} */
  const seen = new Map();
  for (const name of needed) {
    const { variable, what } = portTable[name];
    const port = ports[name];
    const other = seen.get(port);
    if (other !== undefined) {
      throw new StackError(
        `Port ${port} is given to both ${portTable[other].what} and ${what}: ` +
          `set ${portTable[other].variable} or ${variable} to another port.`,
      );
    }
    seen.set(port, name);
    if (!(await isFree(port))) {
      throw new StackError(
        `Port ${port}, meant for ${what}, is taken by another program: ` +
          `end that program, or set ${variable} to a free port.`,
      );
    }
  }
}

/** @param {number} port */
async function isFree(port) {
  if (await accepts(port)) return false;
  try {
    const server = await listenOn(port);
    await new Promise((resolve) => server.close(resolve));
    return true;
  } catch {
    return false;
  }
}

/** @param {number} port @returns {Promise<boolean>} somebody answers there, on any address */
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** @param {number} port @returns {Promise<import('node:net').Server>} */
function listenOn(port) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
