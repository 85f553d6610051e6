/** Installs a folder's pinned dependencies, when they are not there as its lock file says. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { repoRoot } from '../paths.mjs';
import { runCommand } from './run-command.mjs';

/** @typedef {{ version?: string, optional?: boolean, link?: boolean }} LockedPackage */

/**
 * npm writes what it has really installed to `node_modules/.package-lock.json`, as its last act: an
 * interrupted installation has none.
 * @param {string} [folder] the repository's own by default
 * @returns {boolean}
 */
export function isInstalled(folder = repoRoot) {
  const wanted = readLock(join(folder, 'package-lock.json'));
  const installed = readLock(join(folder, 'node_modules', '.package-lock.json'));
  return Object.entries(wanted).every(
    ([path, { version, optional, link }]) =>
      !path.startsWith('node_modules/') ||
      link === true ||
      installed[path]?.version === version ||
      (optional === true && installed[path] === undefined),
  );
}

/**
 * @param {{ folder?: string, signal?: AbortSignal, onProgress?: (line: string) => void }} options
 * @returns {Promise<void>}
 */
export async function install({ folder = repoRoot, signal, onProgress }) {
  await runCommand(['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=http'], {
    failure: 'The dependencies could not be installed (`npm ci`): check the network and ~/.npmrc.',
    cwd: folder,
    // A package among the dependencies reports its installation to its vendor unless told not to.
    env: { ...process.env, SCARF_ANALYTICS: 'false' },
    signal,
    onLine: onProgress,
    isTelling: (line) => !/^npm http/.test(line),
  });
}

/** The Node that the services run on. */
export const installedNode = join(repoRoot, 'node_modules', '.bin', 'node');

/** @param {string} file @returns {Record<string, LockedPackage>} */
function readLock(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}
