/** Flask, for the receivers in Python: one story of `e2e/` is told with them. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { runCommand } from '../setup/run-command.mjs';

const repository = join(import.meta.dirname, '../..');
const requirements = join(repository, 'examples/webhook-receiver/requirements.txt');
/** Beside what npm installs, so that it goes with it. */
const packagesFolder = join(repository, 'node_modules/.cache/millrace/python');

/** How Python finds them. */
export const pythonPath = packagesFolder;

/** @returns {boolean} */
export function hasPythonReceivers() {
  if (!existsSync(packagesFolder)) return false;
  const env = { ...process.env, PYTHONPATH: packagesFolder };
  return spawnSync('python3', ['-c', 'import flask, standardwebhooks'], { env }).status === 0;
}

/**
 * Installs them where there is a Python with pip.
 * @param {AbortSignal} signal
 * @returns {Promise<string>} why there are none, or ''
 */
export async function providePythonReceivers(signal) {
  if (hasPythonReceivers()) return '';
  if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0) {
    return 'python3 with pip is not installed';
  }
  const pip = ['python3', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  const failure = 'Flask could not be installed by pip';
  try {
    await runCommand([...pip, '--target', packagesFolder, '-r', requirements], { failure, signal });
  } catch {
    return failure;
  }
  return hasPythonReceivers() ? '' : failure;
}
