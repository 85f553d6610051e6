import { Resolver } from 'node:dns/promises';
import { createServer } from 'node:https';

import { afterEach, describe, expect, it } from '@jest/globals';

import { createAuthority } from './certificates.fixture.ts';
import type { Resolve } from './checked-lookup.ts';
import { DnsServer } from './dns-server.fixture.ts';
import { EgressClient } from './egress-client.ts';

const hostname = 'rebinding.example';
/** Stands for the public internet: the policy lets it through, and nothing else of loopback. */
const judgedAddress = '127.0.0.2';
const innerAddress = '127.0.0.1';
const policy = { allowedCidrs: [`${judgedAddress}/32`] };
const authority = createAuthority('private authority');
const certified = authority.issue(hostname);

const opened: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
});

/** Servers at both addresses, on one port; `connections` tells which of them was reached. */
async function serveAtBoth() {
  const connections: string[] = [];
  const serve = async (address: string, port: number): Promise<number> => {
    const server = createServer(certified, (_, response) => {
      response.writeHead(200, { connection: 'close' }).end('ok');
    });
    server.on('connection', () => connections.push(address));
    await new Promise<void>((listening) => server.listen(port, address, listening));
    opened.push({ close: () => (server.closeAllConnections(), server.close()) });
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('not listening');
    return bound.port;
  };
  const port = await serve(judgedAddress, 0);
  await serve(innerAddress, port);
  return { port, connections };
}

async function rebinding(answers: readonly string[]) {
  const { port, connections } = await serveAtBoth();
  const names = new DnsServer(answers);
  opened.push(names);
  const resolver = new Resolver();
  resolver.setServers([await names.start()]);
  const resolve: Resolve = async (name) =>
    (await resolver.resolve4(name)).map((address) => ({ address, family: 4 }));
  const client = new EgressClient(policy, { resolve, trustedCertificates: authority.cert });
  opened.push(client);
  const url = `https://${hostname}:${port}/`;
  const post = () => client.post({ url, headers: {}, body: Buffer.from('hello') });
  return { post, names, connections };
}

describe('a name whose address changes with every query', () => {
  it('is connected to at the address that was judged, and asked for once', async () => {
    const { post, names, connections } = await rebinding([judgedAddress, innerAddress]);
    expect(await post()).toMatchObject({ kind: 'response', status: 200 });
    expect(names.asked).toBe(1);
    expect(connections).toEqual([judgedAddress]);
  });

  it('is judged anew for a new connection', async () => {
    const { post, names, connections } = await rebinding([judgedAddress, innerAddress]);
    await post();
    expect(await post()).toMatchObject({ kind: 'blocked', reason: 'loopback' });
    expect(names.asked).toBe(2);
    expect(connections).toEqual([judgedAddress]);
  });

  it('is refused by its first answer, although the next would be let through', async () => {
    const { post, names, connections } = await rebinding([innerAddress, judgedAddress]);
    expect(await post()).toMatchObject({ kind: 'blocked', reason: 'loopback' });
    expect(names.asked).toBe(1);
    expect(connections).toEqual([]);
    expect(await post()).toMatchObject({ kind: 'response', status: 200 });
    expect(connections).toEqual([judgedAddress]);
  });
});
