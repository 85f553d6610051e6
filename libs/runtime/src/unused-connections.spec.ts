import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

import { expect, it } from '@jest/globals';

import { UnusedConnections } from './unused-connections.ts';

it('connections without a request hold up no close, and one with a request does', async () => {
  let answer = (): void => undefined;
  const server = createServer((_request, response) => {
    answer = () => response.end('answered');
  });
  const unused = new UnusedConnections(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const isAddress = (address: unknown): address is AddressInfo => typeof address === 'object';
  const address = server.address();
  if (!isAddress(address)) throw new TypeError('the server has no port');

  const silent = await opened(address.port);
  const asking = await opened(address.port);
  asking.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n');
  await once(server, 'request');
  const closed = once(server, 'close');
  server.close();
  unused.close();
  await once(silent, 'close');
  expect(asking.destroyed).toBe(false);
  answer();
  const [bytes] = await once(asking, 'data');
  expect(String(bytes)).toContain('answered');
  asking.destroy();
  await closed;
});

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}
