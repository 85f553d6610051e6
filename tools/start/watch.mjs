/** `npm run dev`: builds the project whose sources changed and restarts what uses it. */
import { watch } from 'node:fs';
import { join, relative } from 'node:path';

import { repoRoot } from '../paths.mjs';
import { build, listProjects } from '../setup/build.mjs';
import { serviceNames } from '../stack/environment.mjs';
import { StackError } from '../stack/stack-error.mjs';
import { print, printDone, printFailure } from '../terminal.mjs';

/** An editor writes a file in several goes. */
const settleMs = 80;

/**
 * @param {import('../stack.mjs').Stack} stack
 * @param {AbortSignal} signal ends the watching
 */
export async function watchSources(stack, signal) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  let working = Promise.resolve();
  /** @param {string} file */
  const changed = (file) => {
    if (!/\.ts$/.test(file) || /\.spec\.ts$/.test(file)) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      print(`… ${relative(repoRoot, file)} changed`);
      working = working.then(() => rebuild(stack));
    }, settleMs);
  };
  for (const { folder } of listProjects()) {
    const source = join(folder, 'src');
    watch(source, { recursive: true, signal }, (_event, name) => {
      if (name !== null) changed(join(source, name));
    });
  }
  print(`watching apps/*/src and libs/*/src`);
}

/** @param {import('../stack.mjs').Stack} stack */
async function rebuild(stack) {
  const startedAt = performance.now();
  try {
    const { changed, built } = await build();
    if (changed.length === 0) return;
    const names = changed.map(({ name }) => name).join(', ');
    printDone('Built', `${names} (${built} files)`, performance.now() - startedAt);
    const toRestart = changed.some(({ kind }) => kind === 'lib')
      ? serviceNames
      : serviceNames.filter((service) => changed.some(({ name }) => name === service));
    const replicas = toRestart.flatMap((service) => stack.replicasOf(service));
    await Promise.all(replicas.map((replica) => restart(stack, replica)));
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    printFailure(error);
  }
}

/** @param {import('../stack.mjs').Stack} stack @param {string} replica */
async function restart(stack, replica) {
  const startedAt = performance.now();
  await stack.restart(replica);
  printDone('Restarted', `${replica} (pid ${stack.pid(replica)})`, performance.now() - startedAt);
}
