/**
 * npm run jaeger
 *
 * Builds Jaeger from its Go module, once, and runs it: traces come in on 4318 (OTLP over HTTP,
 * where every service sends them by default) and are read on 16686. The module has the server
 * without its page, so what answers in a browser is the API; docker-compose.yml has the image with
 * the page.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { homeFolder, repoRoot } from './paths.mjs';
import { runCommand } from './setup/run-command.mjs';
import { StackError } from './stack/stack-error.mjs';
import { bold, dim, print, printFailure, step } from './terminal.mjs';

const jaegerModule = 'github.com/jaegertracing/jaeger';
/** The last one that Go finds under this path: version 2 is tagged in a way that it cannot read. */
const version = 'v1.76.0';
const binary = join(repoRoot, '.millrace', 'jaeger', `jaeger-${version}`);
const logFile = join(homeFolder, 'logs', 'jaeger.log');
const queryPort = 16686;
const collectorPort = 4318;

const abort = new AbortController();
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => abort.abort());
}

try {
  if (!existsSync(binary)) await build();
  process.exitCode = await run();
} catch (error) {
  process.exitCode = 1;
  if (!(error instanceof StackError)) throw error;
  if (!abort.signal.aborted) printFailure(error);
}

async function build() {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    throw new StackError(
      'Go was not found, and Jaeger is built with it: install Go 1.24 or newer ' +
        '(https://go.dev/dl), or use docker-compose.yml, which has Jaeger as an image.',
    );
  }
  print(`Builds ${jaegerModule} ${version} with Go, once: several minutes.`);
  const source = await step('Jaeger sources', download);
  await step('Jaeger', async (update) => {
    mkdirSync(join(repoRoot, '.millrace', 'jaeger'), { recursive: true });
    let packages = 0;
    const goBuild = ['go', 'build', '-buildvcs=false', '-v', '-o', `${binary}.new`];
    await runCommand([...goBuild, './cmd/all-in-one'], {
      failure: `Jaeger ${version} could not be built.`,
      cwd: source,
      signal: abort.signal,
      onLine: () => update(`${(packages += 1)} packages compiled`),
    });
    renameSync(`${binary}.new`, binary);
  });
}

/** @returns {Promise<string>} the folder of the module's sources */
async function download() {
  /** @type {string[]} */
  const lines = [];
  await runCommand(['go', 'mod', 'download', '-json', `${jaegerModule}@${version}`], {
    failure: `${jaegerModule} ${version} could not be fetched: check the network and GOPROXY.`,
    signal: abort.signal,
    onLine: (line) => lines.push(line),
  });
  return JSON.parse(lines.join('\n')).Dir;
}

/** @returns {Promise<number>} the exit status */
async function run() {
  const [file = '', ...args] = [
    ...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'TERM'] : []),
    binary,
    `--collector.otlp.http.host-port=127.0.0.1:${collectorPort}`,
    `--query.http-server.host-port=127.0.0.1:${queryPort}`,
    '--collector.otlp.grpc.host-port=127.0.0.1:4317',
    '--query.grpc-server.host-port=127.0.0.1:16685',
    '--collector.http-server.host-port=127.0.0.1:14268',
    '--collector.grpc-server.host-port=127.0.0.1:14250',
    '--admin.http.host-port=127.0.0.1:14269',
  ];
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'w');
  const jaeger = spawn(file, args, {
    stdio: ['ignore', log, log],
    detached: true,
    // It would trace itself, to another collector.
    env: { ...process.env, OTEL_TRACES_SAMPLER: 'always_off' },
  });
  const ended = once(jaeger, 'exit');
  abort.signal.addEventListener('abort', () => jaeger.kill('SIGTERM'));
  print(`${bold('Jaeger')} takes traces on http://127.0.0.1:${collectorPort} and shows them on`);
  print(`  http://127.0.0.1:${queryPort}/api/traces?service=ingest`);
  print(`  http://127.0.0.1:${queryPort}/api/traces/TRACE_ID   ${dim('the id in a job')}`);
  print(dim('This build has no page to look at, only this API. Ctrl-C stops it.'));
  await ended;
  if (abort.signal.aborted) return 0;
  const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-4).join('\n');
  throw new StackError(`Jaeger ended by itself; its log is ${logFile}.`, { log: tail });
}
