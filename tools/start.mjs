/**
 * `npm start`, `npm run dev`, `npm run status`, `npm stop`.
 *
 * This file runs on whatever Node the machine has (20 or newer), with nothing installed. It checks
 * the machine and installs the dependencies, among them a current Node; that one does the rest.
 */
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

import { homeFolder, repoRoot } from './paths.mjs';
import { install, installedNode, isInstalled } from './setup/install.mjs';
import { requirePrerequisites } from './setup/prerequisites.mjs';
import { parseOptions } from './start/options.mjs';
import { showStatus, stopRunning } from './start/other-terminal.mjs';
import { readRunningStack } from './stack/run-folder.mjs';
import { codeOf, StackError } from './stack/stack-error.mjs';
import { expectFailures, print, printFailure, step } from './terminal.mjs';

/** How often this process looks whether npm, which started it, is still there. */
const parentCheckEveryMs = 500;

const abort = new AbortController();
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => stop(new StackError('Stopped.')));
}
watchParent();

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = 1;
  if (abort.signal.aborted) print('Stopped.');
  else if (error instanceof StackError || isAboutFiles(error)) printFailure(error);
  else throw error;
}

/**
 * A disk that is full or a folder without rights: the message names both, a stack trace would not.
 * @param {unknown} error
 * @returns {error is Error}
 */
function isAboutFiles(error) {
  const codes = ['ENOSPC', 'EDQUOT', 'EACCES', 'EPERM', 'EROFS'];
  return error instanceof Error && codes.includes(codeOf(error) ?? '');
}

/** @param {StackError} reason why everything is to end; a second one changes nothing */
function stop(reason) {
  expectFailures();
  abort.abort(reason);
}

/** @param {string[]} args @returns {Promise<number>} the exit status */
async function main(args) {
  const options = parseOptions(args);
  if (options.command === 'status') return showStatus(homeFolder);
  if (options.command === 'stop') return stopRunning(homeFolder);
  const running = readRunningStack(homeFolder);
  if (running !== undefined) {
    throw new StackError(
      `Millrace runs already (pid ${running.pid}, ${running.urls['api']}). ` +
        '`npm run status` shows it, `npm stop` ends it.',
    );
  }
  requirePrerequisites();
  const isFresh = !isInstalled();
  if (isFresh) await installDependencies();
  if (!isFresh && realpathSync(process.execPath) === realpathSync(installedNode)) {
    const { run } = await import('./start/run.mjs');
    return run(options, abort.signal);
  }
  return handOver(args);
}

async function installDependencies() {
  print('The first start installs dependencies and fetches Kafka: a minute or two.');
  await step('Dependencies', (update) => {
    let packages = 0;
    return install({
      signal: abort.signal,
      onProgress: (line) => {
        if (line.includes('http fetch') || line.includes('http cache')) packages += 1;
        update(`npm ci, ${packages} packages looked at`);
      },
    });
  });
}

/**
 * Runs this file again, on the Node that was installed.
 * @param {string[]} args
 * @returns {Promise<number>}
 */
function handOver(args) {
  const [file = '', ...rest] = [
    ...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    installedNode,
    join(repoRoot, 'tools', 'start.mjs'),
    ...args,
  ];
  const child = spawn(file, rest, { stdio: 'inherit' });
  abort.signal.addEventListener('abort', () => child.kill('SIGTERM'));
  if (abort.signal.aborted) child.kill('SIGTERM');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]),
    );
  });
}

/** npm that is killed with -9 tells nobody; its child gets another parent. */
function watchParent() {
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) stop(new StackError('npm is gone.'));
  }, parentCheckEveryMs).unref();
}
