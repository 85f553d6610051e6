import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(60_000);

let runner: RunningToolRunner;
let server: ToolServer;
let forbids = false;
const asked: { authority: string; credentials: string | undefined }[] = [];
const tunnels = new Set<Duplex>();

const proxy = createServer().on('connect', ({ headers, url = '' }: IncomingMessage, socket) => {
  const credentials = headers['proxy-authorization'];
  asked.push({ authority: url, credentials });
  tunnels.add(socket.on('error', () => {}));
  if (forbids) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  const [host = '', port] = url.split(':');
  const upstream = connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    upstream.pipe(socket).pipe(upstream);
  });
  tunnels.add(upstream.on('error', () => {}));
});

beforeAll(async () => {
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  const url = `http://anna:p%40ss@127.0.0.1:${address.port}`;
  [runner, server] = await Promise.all([
    RunningToolRunner.start({ MILLRACE_EGRESS_PROXY: url }),
    ToolServer.listen(),
  ]);
});
afterAll(async () => {
  for (const socket of tunnels) socket.destroy();
  await runner?.stop();
  await server?.close();
  proxy.close();
});

describe('behind an egress proxy a tool', () => {
  it('is called through it', async () => {
    await runner.register('far', server.url('/far'));
    const completed = await runner.call('far/t1', { tool: 'far' });
    expect(completed).toMatchObject({ output: { echoed: {} }, attempts: 1 });
    const credentials = `Basic ${Buffer.from('anna:p@ss').toString('base64')}`;
    expect(asked).toEqual([{ authority: new URL(server.url('/')).host, credentials }]);
  });

  it('that it does not want to reach fails as such, after its retries', async () => {
    forbids = true;
    for (const socket of tunnels) socket.destroy();
    await runner.register('forbidden', server.url('/forbidden'), { retries: 1 });
    const completed = await runner.call('forbidden/t1', { tool: 'forbidden' });
    const error = { code: 'tool_failed', detail: 'the tool could not be reached (proxy)' };
    expect(completed).toMatchObject({ error, attempts: 2 });
    expect(server.at('/forbidden')).toEqual([]);
  });
});
