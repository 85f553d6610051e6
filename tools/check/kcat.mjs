/** kcat, a Kafka client that is not ours: one story of `e2e/` is told with it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

import { runCommand } from '../setup/run-command.mjs';

/** @returns {boolean} */
export function hasKcat() {
  return spawnSync('kcat', ['-V']).status === 0;
}

/**
 * Installs kcat where that is ours to do: as root on Debian.
 * @param {AbortSignal} signal
 * @returns {Promise<string>} why there is none, or ''
 */
export async function provideKcat(signal) {
  if (hasKcat()) return '';
  if (!existsSync('/etc/debian_version')) return 'kcat is not installed, and this is not Debian';
  if (process.getuid?.() !== 0) return 'kcat is not installed, and only root may install it';
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const failure = 'kcat could not be installed by apt-get';
  try {
    await runCommand(['apt-get', 'update'], { failure, env, signal });
    await runCommand(['apt-get', 'install', '-y', 'kcat'], { failure, env, signal });
  } catch {
    return failure;
  }
  return hasKcat() ? '' : failure;
}
