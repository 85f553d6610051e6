import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { ChildProgram } from '@millrace/testing';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(90_000);

let runner: RunningToolRunner;
let server: ToolServer;
const processes: ChildProgram[] = [];

beforeAll(async () => {
  // Only the tools are registered here: the processes below are those that call them.
  [runner, server] = await Promise.all([
    RunningToolRunner.start({}, { consumes: false }),
    ToolServer.listen(),
  ]);
});
afterEach(async () => {
  await Promise.all(processes.splice(0).map((child) => child.kill()));
});
afterAll(async () => {
  await runner?.stop();
  await server?.close();
});

function startProcess(): ChildProgram {
  const file = join(import.meta.dirname, 'tool-runner-process.fixture.ts');
  const env = { ...runner.environment(), HTTP_PORT: '0' };
  const child = ChildProgram.start(file, [runner.kafka.prefix], env);
  processes.push(child);
  return child;
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
  const first = startProcess();
  const ids = Array.from({ length: calls }, (_, i) => `held-${i}/t1`);
  await runner.publish(ids.map((id) => runner.runRequest(id, { tool: 'held' })));
  await first.until(held.promise);
  isHeld = false;
  await first.kill();
  const second = startProcess();
  const completions = Promise.all(ids.map((id) => runner.completion(id)));
  await second.until(completions);
  for (const completion of await completions) expect(completion).toMatchObject({ output: 'done' });
  for (const id of ids) {
    const attempts = server.at('/held').filter(({ body }) => body.call_id === id);
    expect(attempts.map(({ body }) => body.attempt)).toEqual([1, 2]);
    const keys = new Set(attempts.map(({ headers }) => headers['idempotency-key']));
    expect(keys.size).toBe(1);
  }
  const allKeys = new Set(server.calls.map(({ headers }) => headers['idempotency-key']));
  expect(allKeys.size).toBe(calls);
});
