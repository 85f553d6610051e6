import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(90_000);

const root = join(import.meta.dirname, '../../..');

let runner: RunningToolRunner;
let server: ToolServer;
const processes: ChildProcess[] = [];

beforeAll(async () => {
  // Only the tools are registered here: the processes below are those that call them.
  [runner, server] = await Promise.all([
    RunningToolRunner.start({}, { consumes: false }),
    ToolServer.listen(),
  ]);
});
afterEach(async () => {
  await Promise.all(processes.splice(0).map((child) => kill(child)));
});
afterAll(async () => {
  await runner?.stop();
  await server?.close();
});

/** A real process, so that it can really be killed in the middle of whatever it does. */
async function startProcess(): Promise<ChildProcess> {
  const args = [
    '--conditions=millrace:source',
    '--no-warnings',
    `--import=${join(root, 'tools/source-hooks.mjs')}`,
    join(import.meta.dirname, 'tool-runner-process.fixture.ts'),
    runner.kafka.prefix,
  ];
  const port = await freePort();
  const env = { ...runner.environment(), HTTP_PORT: String(port) };
  const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
  processes.push(child);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

it('calls of a process that is killed are run again by another, under the same keys', async () => {
  const calls = 20;
  const held = Promise.withResolvers<void>();
  let isHeld = true;
  server.answers('/held', (response) => {
    if (server.at('/held').length >= calls) held.resolve();
    if (!isHeld) response.end('done');
  });
  await runner.register('held', server.url('/held'), { timeout_seconds: 600 });
  const first = await startProcess();
  const ids = Array.from({ length: calls }, (_, i) => `held-${i}/t1`);
  await runner.publish(ids.map((id) => runner.runRequest(id, { tool: 'held' })));
  await held.promise;
  isHeld = false;
  await kill(first);
  await startProcess();
  for (const id of ids) {
    expect(await runner.completion(id)).toMatchObject({ output: 'done' });
    const attempts = server.at('/held').filter(({ body }) => body.call_id === id);
    expect(attempts.map(({ body }) => body.attempt)).toEqual([1, 2]);
    const keys = new Set(attempts.map(({ headers }) => headers['idempotency-key']));
    expect(keys.size).toBe(1);
  }
  const allKeys = new Set(server.calls.map(({ headers }) => headers['idempotency-key']));
  expect(allKeys.size).toBe(calls);
});
