/**
 * The local stack as a module: what `npm start`, the end-to-end stories and the benches run.
 *
 *   const stack = await startStack({ home, ports: await freePorts() });
 *   stack.urls.api                         'http://127.0.0.1:PORT'; also claude, receiver, and each
 *                                          service by name ('claude-worker', …) for /metrics
 *   stack.replicasOf('ingest')             names of its processes: ['ingest'], and with replicas
 *                                          ['ingest-1', 'ingest-2']; the API is the first one's
 *   stack.apiKey, stack.webhookSecret      of the tenant `default`
 *   stack.kafkaBroker                      '127.0.0.1:PORT'
 *   stack.postgresUrl                      the superuser's URL of the database `millrace`
 *   stack.names()                          every process: services, 'kafka', 'postgres',
 *                                          'claude-stand-in', 'webhook-receiver'
 *   stack.pid('ingest')                    undefined while it is down
 *   stack.kill('claude-worker')            SIGKILL (or another signal); it is started again by
 *                                          itself, as after any end that nobody asked for
 *   await stack.ready('claude-worker')     it serves (again)
 *   await stack.down('kafka')              ends it in order and keeps it down …
 *   await stack.up('kafka')                … until this
 *   await stack.restart('ingest')          down, then up
 *   await stack.stop()                     everything, in order, within 15 s; may be called twice
 *
 * I1. What was started is stopped: when `startStack` rejects, nothing is left running.
 * I2. The home belongs to one stack at a time, see run-folder.mjs.
 * I3. Services are built beforehand (setup/build.mjs) and Kafka's jars are there (kafka-libs.mjs).
 */
import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { repoRoot } from './paths.mjs';
import { installedNode } from './setup/install.mjs';
import { startChild } from './stack/child.mjs';
import {
  databaseRoles,
  inheritedEnvironment,
  mainFileOf,
  serviceEnvironment,
  serviceNames,
  serviceStopMs,
  serviceTable,
} from './stack/environment.mjs';
import { prepareKafka, startKafka } from './stack/kafka.mjs';
import { lastLogLines } from './stack/log-lines.mjs';
import { requireFreePorts } from './stack/ports.mjs';
import { preparePostgres, startPostgres } from './stack/postgres.mjs';
import { placeReplicas } from './stack/replicas.mjs';
import { claimHome, endLeftovers, releaseHome, startOf, updateState } from './stack/run-folder.mjs';
import {
  adminKeyOf,
  apiKeyOf,
  internalKeyOf,
  secretsKeyOf,
  toolTokenKeyOf,
  rolePasswordsOf,
  webhookSecretOf,
} from './stack/secrets.mjs';
import { codeOf, StackError } from './stack/stack-error.mjs';
import { Supervisor } from './stack/supervisor.mjs';
import { until } from './stack/wait.mjs';

export { freePorts, portsFromEnvironment } from './stack/ports.mjs';
export { StackError } from './stack/stack-error.mjs';

/** A first start applies migrations and joins groups; a slow machine needs a while. */
const serviceReadyTimeoutMs = 60_000;
/**
 * Warnings: kafkajs sets timers in the past, harmlessly. Semi-space (MiB): a batch of jobs dies
 * young, but not within the default 16; with 32 the pipeline does about 1.3 times as many.
 */
const nodeOptions = ['--disable-warning=TimeoutNegativeWarning', '--max-semi-space-size=32'];
/** Together with the services' own 6 s below the 15 s that a stop may take. */
const serverStopMs = 4_000;
/** A start needs a few MB at the least: a full disk is found before anything runs. */
const homeProbeBytes = 8 * 1024 * 1024;

/**
 * @typedef {import('./stack/environment.mjs').ServiceName} ServiceName
 * @typedef {import('./stack/ports.mjs').Ports} Ports
 *
 * @typedef {object} StackOptions
 * @property {string} home the folder for data, logs, secrets and pids
 * @property {Ports} ports
 * @property {readonly ServiceName[]} [services] all by default
 * @property {import('./stack/replicas.mjs').ReplicaCount} [replicas] one process of each by default
 * @property {Record<string, string>} [postgresSettings] more of them, as in postgresql.conf
 * @property {NodeJS.ProcessEnv} [env] what processes inherit; this process's own by default
 * @property {Partial<Record<ServiceName | 'claude-stand-in', Record<string, string>>>} [serviceEnv]
 *   more for single ones (all replicas of a service); wins over everything else
 * @property {{ apiKey: string, baseUrl?: string | undefined }} [claude] what to call instead of
 *   the stand-in, which is then not started
 * @property {boolean} [receiver] whether the sample webhook receiver runs; it does by default
 * @property {Report} [report]
 * @property {AbortSignal} [signal] gives up a start that is under way
 * @property {(error: StackError) => void} [onLost] one process could not be kept up; called after
 *   everything was stopped
 *
 * @typedef {object} Report
 * @property {<T>(label: string, work: () => Promise<T>, describe?: (result: T) => string)
 *   => Promise<T>} step
 * @property {(line: string) => void} warn
 *
 * @typedef {ReturnType<typeof handleOf>} Stack
 */

/** @type {Report} */
const silent = { step: (_label, work) => work(), warn: () => undefined };

/**
 * @param {StackOptions} options
 * @returns {Promise<Stack>}
 */
export async function startStack(options) {
  const { report = silent, signal } = options;
  const plan = makePlan(options, await placeReplicas(options));
  claim(plan);
  /** @type {Promise<void> | undefined} */
  let stopping;
  const supervisor = new Supervisor({
    report: report.warn,
    onLost: (error) => void stop().then(() => options.onLost?.(error)),
  });
  const stop = () => (stopping ??= stopAll(supervisor, plan));
  const giveUp = () => void stop();
  signal?.addEventListener('abort', giveUp);
  try {
    await endLeftovers(plan.home);
    await requireFreePorts(plan.ports, neededPorts(plan));
    const postgresUrl = await startServers({ plan, supervisor, report });
    signal?.throwIfAborted();
    await startServices({ plan, supervisor, report });
    signal?.throwIfAborted();
    updateState(plan.home, { ...plan.state, ready: true });
    return handleOf({ plan, supervisor, postgresUrl, stop });
  } catch (error) {
    await stop();
    throw signal?.aborted === true ? signal.reason : error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

/**
 * Everything that is settled before anything runs.
 * @typedef {ReturnType<typeof makePlan>} Plan
 * @param {StackOptions} options
 * @param {readonly import('./stack/replicas.mjs').Replica[]} replicas
 */
function makePlan({ ports, services = serviceNames, receiver = true, ...options }, replicas) {
  const home = prepareHome(options.home);
  const isStandIn = options.claude === undefined;
  const claude = {
    apiKey: options.claude?.apiKey ?? 'stand-in',
    baseUrl: isStandIn ? local(ports.claude) : options.claude?.baseUrl,
    isStandIn,
  };
  /** @type {Record<string, string>} */
  const urls = {
    api: local(ports.http),
    ...Object.fromEntries(replicas.map(({ name, port }) => [name, local(port)])),
    ...(isStandIn ? { claude: local(ports.claude) } : {}),
    ...(receiver ? { receiver: local(ports.receiver) } : {}),
  };
  return {
    home,
    ports,
    services,
    replicas,
    receiver,
    claude,
    urls,
    inherited: inheritedEnvironment(options.env ?? process.env),
    postgresSettings: options.postgresSettings ?? {},
    /** @param {string} name @returns {Record<string, string>} */
    extraEnv: (name) =>
      new Map(Object.entries(options.serviceEnv ?? {})).get(name) ?? {},
    state: {
      pid: process.pid,
      processStart: startOf(process.pid),
      startedAt: new Date().toISOString(),
      ready: false,
      claude: isStandIn ? 'stand-in' : (claude.baseUrl ?? 'https://api.anthropic.com'),
      ports,
      urls,
    },
  };
}

/** @param {Plan} plan */
function claim({ home, state }) {
  const other = claimHome(home, state);
  if (other === undefined) return;
  throw new StackError(
    `A stack runs on ${home} already (pid ${other.pid}, ${other.urls['api']}): ` +
      '`npm run status` shows it, `npm stop` ends it.',
  );
}

/** @typedef {{ plan: Plan, supervisor: Supervisor, report: Report }} Starting */

/**
 * What the services need, all at once.
 * @param {Starting} starting
 * @returns {Promise<string>} the superuser's URL of the database
 */
async function startServers({ plan, supervisor, report }) {
  const { ports, urls } = plan;
  const [postgresUrl] = await Promise.all([
    report.step(
      'PostgreSQL',
      () => startDatabase(plan, supervisor),
      () => `127.0.0.1:${ports.postgres}`,
    ),
    report.step(
      'Kafka',
      () => startBroker(plan, supervisor),
      (count) => `127.0.0.1:${ports.kafka}, ${count} topics`,
    ),
    plan.claude.isStandIn
      ? report.step(
          'Claude stand-in',
          () => supervisor.add(standInUnit(plan)),
          () => urls['claude'] ?? '',
        )
      : undefined,
    plan.receiver
      ? report.step(
          'Sample webhook receiver',
          () => supervisor.add(receiverUnit(plan)),
          () => urls['receiver'] ?? '',
        )
      : undefined,
  ]);
  return postgresUrl ?? '';
}

/** @param {Starting} starting */
async function startServices({ plan, supervisor, report }) {
  const secrets = {
    rolePasswords: rolePasswordsOf(plan.home, databaseRoles),
    apiKey: apiKeyOf(plan.home),
    adminKey: adminKeyOf(plan.home),
    webhookSecret: webhookSecretOf(plan.home),
    internalKey: internalKeyOf(plan.home),
    secretsKey: secretsKeyOf(plan.home),
    toolTokenKey: toolTokenKeyOf(plan.home),
  };
  await Promise.all(
    plan.replicas.map(({ name, service, port }) =>
      report.step(
        name,
        () =>
          supervisor.add(
            nodeUnit(plan, {
              name,
              file: mainFileOf(repoRoot, service),
              env: {
                ...serviceEnvironment(service, { ...plan, ...secrets }),
                HTTP_PORT: String(port),
                ...plan.extraEnv(service),
              },
              readyUrl: `${plan.urls[name]}/readyz`,
              stopGraceMs: serviceStopMs,
            }),
          ),
        () => plan.urls[name] ?? '',
      ),
    ),
  );
}

/** @param {Plan} plan @param {Supervisor} supervisor */
async function startDatabase({ home, ports, inherited, postgresSettings }, supervisor) {
  const options = { home, port: ports.postgres, env: inherited, more: postgresSettings };
  const superuserPassword = await preparePostgres(options);
  await supervisor.add({
    name: 'postgres',
    // Fast shutdown: open connections are ended, everything is written down.
    stopSignal: 'SIGINT',
    stopGraceMs: serverStopMs,
    start: (onBorn) => startPostgres({ ...options, onBorn }),
  });
  const rolePasswords = rolePasswordsOf(home, databaseRoles);
  const { prepareDatabase } = await import('./stack/database.mjs');
  return prepareDatabase({ ports, superuserPassword, rolePasswords });
}

/** @param {Plan} plan @param {Supervisor} supervisor */
async function startBroker({ home, ports, inherited }, supervisor) {
  const options = {
    home,
    port: ports.kafka,
    controllerPort: ports.kafkaController,
    env: inherited,
  };
  await prepareKafka(options);
  await supervisor.add({
    name: 'kafka',
    stopSignal: 'SIGTERM',
    stopGraceMs: serverStopMs,
    start: (onBorn) => startKafka({ ...options, onBorn }),
  });
  const { createTopics } = await import('./stack/topics.mjs');
  return createTopics(`127.0.0.1:${ports.kafka}`);
}

/** @param {Plan} plan */
const standInUnit = (plan) =>
  nodeUnit(plan, {
    name: 'claude-stand-in',
    file: join(repoRoot, 'tools', 'claude-stand-in.mjs'),
    env: {
      ...plan.inherited,
      PORT: String(plan.ports.claude),
      ...plan.extraEnv('claude-stand-in'),
    },
    readyUrl: `${plan.urls['claude']}/health`,
    stopGraceMs: 1_000,
  });

/** @param {Plan} plan */
const receiverUnit = (plan) =>
  nodeUnit(plan, {
    name: 'webhook-receiver',
    file: join(repoRoot, 'tools', 'webhook-receiver.mjs'),
    env: {
      ...plan.inherited,
      PORT: String(plan.ports.receiver),
      WEBHOOK_SECRET: webhookSecretOf(plan.home),
    },
    readyUrl: `${plan.urls['receiver']}/health`,
    stopGraceMs: 1_000,
  });

/**
 * @param {Plan} plan
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.file
 * @param {NodeJS.ProcessEnv} options.env
 * @param {string} options.readyUrl answers 200 once it serves
 * @param {number} options.stopGraceMs
 * @returns {import('./stack/supervisor.mjs').Unit}
 */
function nodeUnit({ home }, { name, file, env, readyUrl, stopGraceMs }) {
  return {
    name,
    stopSignal: 'SIGTERM',
    stopGraceMs,
    start: async (onBorn) => {
      const child = await startChild({
        name,
        home,
        command: installedNode,
        args: [...nodeOptions, file],
        env,
        cwd: repoRoot,
      });
      onBorn(child);
      await until(`${name} is ready`, serviceReadyTimeoutMs, async () => {
        if (!child.isRunning()) {
          const log = lastLogLines(child.logFile, child.logStart).join('\n');
          const message = `${name} ended while it started; its log is ${child.logFile}.`;
          throw new StackError(message, { log });
        }
        return (await answersOk(readyUrl)) || undefined;
      });
      return child;
    },
  };
}

/** @param {string} url */
async function answersOk(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/**
 * @param {object} parts
 * @param {Plan} parts.plan
 * @param {Supervisor} parts.supervisor
 * @param {string} parts.postgresUrl
 * @param {() => Promise<void>} parts.stop
 */
function handleOf({ plan, supervisor, postgresUrl, stop }) {
  return {
    home: plan.home,
    ports: plan.ports,
    urls: plan.urls,
    isStandIn: plan.claude.isStandIn,
    apiKey: apiKeyOf(plan.home),
    adminKey: adminKeyOf(plan.home),
    webhookSecret: webhookSecretOf(plan.home),
    kafkaBroker: `127.0.0.1:${plan.ports.kafka}`,
    postgresUrl,
    names: () => supervisor.names(),
    /** @param {string} service */
    replicasOf: (service) =>
      plan.replicas.filter((replica) => replica.service === service).map(({ name }) => name),
    /** @param {string} name */
    pid: (name) => supervisor.get(name).pid,
    /** @param {string} name @param {NodeJS.Signals} [signal] */
    kill: (name, signal = 'SIGKILL') => supervisor.get(name).kill(signal),
    /** @param {string} name */
    ready: (name) => supervisor.get(name).ready(),
    /** @param {string} name */
    down: (name) => supervisor.get(name).stop(),
    /** @param {string} name */
    up: (name) => supervisor.get(name).start(),
    /** @param {string} name */
    restart: async (name) => {
      await supervisor.get(name).stop();
      await supervisor.get(name).start();
    },
    stop,
  };
}

/**
 * Services first: they end their work while what they need still answers.
 * @param {Supervisor} supervisor
 * @param {Plan} plan
 */
async function stopAll(supervisor, { home, replicas }) {
  supervisor.letGo();
  await supervisor.stop(replicas.map(({ name }) => name));
  await supervisor.stop(['webhook-receiver', 'claude-stand-in']);
  await supervisor.stop(['kafka', 'postgres']);
  releaseHome(home);
}

/** @param {Plan} plan @returns {import('./stack/ports.mjs').PortName[]} */
function neededPorts({ services, claude, receiver }) {
  return [
    'kafka',
    'kafkaController',
    'postgres',
    ...(claude.isStandIn ? /** @type {const} */ (['claude']) : []),
    ...(receiver ? /** @type {const} */ (['receiver']) : []),
    ...services.map((name) => serviceTable[name].port),
  ];
}

/** @param {string} folder @returns {string} its real path: a folder that can be written to */
function prepareHome(folder) {
  try {
    // Node never returns from a recursive one whose parent exists and takes no folders (/proc).
    const recursive = !existsSync(dirname(folder));
    if (!existsSync(folder)) mkdirSync(folder, { recursive, mode: 0o700 });
    const probe = join(folder, `.probe-${process.pid}`);
    writeFileSync(probe, Buffer.alloc(homeProbeBytes));
    rmSync(probe);
    return realpathSync(folder);
  } catch (cause) {
    throw new StackError(
      `${folder} cannot be written to (${reasonOf(cause)}): make room or give rights there, ` +
        'or set MILLRACE_HOME to another folder.',
      { cause },
    );
  }
}

/** @param {unknown} error */
function reasonOf(error) {
  const code = codeOf(error) ?? String(error);
  return code === 'ENOSPC' ? 'the disk is full' : code;
}

/** @param {number} port */
const local = (port) => `http://127.0.0.1:${port}`;
