/** Restate: its server as a process of its own, the service in this one; asked by its ingress. */
import { spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { createServer } from 'node:http2';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { createEndpointHandler, service } from '@restatedev/restate-sdk';

import { freePorts } from '../../tools/stack/ports.mjs';
import { runAgent } from './agent.mjs';
import { servePeer, settings } from './served-peer.mjs';

const startMsMax = 45_000;
let server;

async function start() {
  const ports = await freePorts();
  const [ingress, admin, node] = [ports.http, ports.worker, ports.orchestrator];
  startServer({ ingress, admin, node });
  const uri = await serveAgent();
  const deployment = JSON.stringify({ uri });
  await retried(() => post(`http://127.0.0.1:${admin}/deployments`, deployment));
  const url = `http://127.0.0.1:${ingress}/agent/run`;
  await retried(() => fetch(`http://127.0.0.1:${ingress}/restate/health`).then(requireOk));
  return (id) => post(url, JSON.stringify(id));
}

function startServer({ ingress, admin, node }) {
  mkdirSync(settings.home, { recursive: true });
  const log = openSync(join(settings.home, 'restate.log'), 'a');
  const [file, ...args] = [
    // It does not outlive this process, not even one that is killed with -9.
    ...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    binary(),
    ...['--base-dir', settings.home, '--listen-mode', 'tcp', '--no-logo'],
    ...['--bind-ip', '127.0.0.1', '--bind-port', String(node)],
    ...['--advertised-address', `http://127.0.0.1:${node}`],
  ];
  const env = {
    ...process.env,
    RESTATE_DISABLE_TELEMETRY: 'true',
    RESTATE_LOG_FILTER: 'warn',
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
  };
  server = spawn(file, args, { env, stdio: ['ignore', log, log] });
  server.on('error', (error) => process.send({ error: error.message }));
}

/** The package for this platform is an optional dependency of the server's own. */
function binary() {
  const require = createRequire(import.meta.url);
  const own = createRequire(require.resolve('@restatedev/restate-server/package.json'));
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  return join(dirname(own.resolve(`${name}/package.json`)), 'bin', 'restate-server');
}

async function serveAgent() {
  const run = (ctx) => runAgent((name, work) => ctx.run(name, work));
  const agent = service({ name: 'agent', handlers: { run } });
  const logger = () => undefined;
  const endpoint = createServer(createEndpointHandler({ services: [agent], logger }));
  await new Promise((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${endpoint.address().port}`;
}

async function post(url, body) {
  const headers = { 'content-type': 'application/json' };
  await requireOk(await fetch(url, { method: 'POST', headers, body }));
}

async function requireOk(response) {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${text.slice(0, 300)}`);
}

/** The server takes a few seconds until it listens. */
async function retried(work) {
  const deadline = Date.now() + startMsMax;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

await servePeer(start, () => server?.kill('SIGKILL'));
