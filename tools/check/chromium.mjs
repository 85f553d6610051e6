/** Chromium: one story of `e2e/` is told with it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

import { runCommand } from '../setup/run-command.mjs';

/** Where Debian has it. */
export const chromiumPath = '/usr/bin/chromium';

/** @returns {boolean} */
export function hasChromium() {
  return spawnSync(chromiumPath, ['--version']).status === 0;
}

/**
 * Installs Chromium where that is ours to do: as root on Debian.
 * @param {AbortSignal} signal
 * @returns {Promise<string>} why there is none, or ''
 */
export async function provideChromium(signal) {
  if (hasChromium()) return '';
  if (!existsSync('/etc/debian_version')) return 'Chromium is not there, and this is not Debian';
  if (process.getuid?.() !== 0) return 'Chromium is not there, and only root may install it';
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const failure = 'Chromium could not be installed by apt-get';
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', 'chromium'];
  try {
    await runCommand(['apt-get', 'update'], { failure, env, signal });
    await runCommand(install, { failure, env, signal });
  } catch {
    return failure;
  }
  return hasChromium() ? '' : failure;
}
