import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { ChildProgram } from '@millrace/testing';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(120_000);

const hourMs = 3_600_000;
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

/** A process whose clock is off. The spec's own is that of the database, as the machine is one. */
function startProcess(clockStepMs: number): ChildProgram {
  const file = join(import.meta.dirname, 'tool-runner-process.fixture.ts');
  const env = { ...runner.environment(), HTTP_PORT: '0' };
  const child = ChildProgram.start(file, [runner.kafka.prefix, String(clockStepMs)], env);
  processes.push(child);
  return child;
}

describe.each([
  ['an hour ahead', 'ahead', hourMs],
  ['an hour behind', 'behind', -hourMs],
])('a process whose clock is %s', (_, name, clockStepMs) => {
  it('takes the time that a call has from the database', async () => {
    const child = startProcess(clockStepMs);
    const path = `/${name}`;
    // The second attempt is claimed, the first one came with its insert.
    server.answers(path, (response) => {
      if (server.at(path).length === 1) response.writeHead(503).end();
      else response.end('done');
    });
    await runner.register(name, server.url(path), { retries: 1 });
    const inTime = runner.call(`${name}/t1`, {
      tool: name,
      completeBy: new Date(Date.now() + 120_000),
    });
    await child.until(inTime);
    expect(await inTime).toMatchObject({ output: 'done', attempts: 2 });
    const tooLate = runner.call(`${name}/t2`, {
      tool: name,
      completeBy: new Date(Date.now() - 1_000),
    });
    await child.until(tooLate);
    expect(await tooLate).toMatchObject({ error: { code: 'deadline_exceeded' } });
    expect(server.at(path)).toHaveLength(2);
  });
});
