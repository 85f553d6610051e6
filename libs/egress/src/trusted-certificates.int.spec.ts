import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

import { afterEach, describe, expect, it } from '@jest/globals';

import { createAuthority, selfSigned, type Certified } from './certificates.fixture.ts';
import { EgressClient, type EgressClientOptions } from './egress-client.ts';
import { readCertificates } from './trusted-certificates.ts';

const local = { allowedCidrs: ['127.0.0.0/8'] };
const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
});

async function serve(certified: Certified): Promise<number> {
  const server = createServer(certified, (_, response) => response.end('ok'));
  server.on('tlsClientError', () => {});
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  opened.push({ close: () => (server.closeAllConnections(), server.close()) });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

function post(hostname: string, port: number, options: EgressClientOptions = {}) {
  const client = new EgressClient(local, { resolve, ...options });
  opened.push(client);
  const url = `https://${hostname}:${port}/`;
  return client.post({ url, headers: {}, body: Buffer.from('hello') });
}

describe('the certificate of a receiver', () => {
  const authority = createAuthority('private authority');
  const trusting = { trustedCertificates: authority.cert };

  it('is refused when the receiver signed it itself', async () => {
    const port = await serve(selfSigned('hooks.example'));
    expect(await post('hooks.example', port, trusting)).toMatchObject({ class: 'tls' });
  });

  it('is refused when nobody trusts its authority', async () => {
    const port = await serve(authority.issue('hooks.example'));
    expect(await post('hooks.example', port)).toMatchObject({ class: 'tls' });
  });

  it('is refused when it is of another host', async () => {
    const port = await serve(authority.issue('hooks.example'));
    expect(await post('other.example', port, trusting)).toMatchObject({ class: 'tls' });
  });

  it('is refused when it has expired', async () => {
    const expired = { from: new Date('2020-01-01'), to: new Date('2020-12-31') };
    const port = await serve(authority.issue('hooks.example', expired));
    expect(await post('hooks.example', port, trusting)).toMatchObject({ class: 'tls' });
  });

  it('is accepted of a private authority that is trusted', async () => {
    const port = await serve(authority.issue('hooks.example'));
    const result = await post('hooks.example', port, trusting);
    expect(result).toMatchObject({ kind: 'response', status: 200 });
    expect(result.timings.connectMs).toBeGreaterThan(0);
    expect(result.timings.tlsMs).toBeGreaterThan(0);
  });

  it('is waited for no longer than a connection may take', async () => {
    const silent = createSocketServer();
    await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening));
    const ended = new Promise<void>((resolveEnd) => {
      silent.on('connection', (socket) => socket.resume().on('close', () => resolveEnd()));
    });
    const address = silent.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    const result = await post('hooks.example', address.port, { connectTimeoutMs: 100 });
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
    expect(result.timings.connectMs).toBeGreaterThan(0);
    expect(result.timings.tlsMs).toBeUndefined();
    // The server sees the end of it too: nothing is left open behind a deadline.
    await ended;
    silent.close();
  });

  it('is accepted of the default store when a private authority is trusted beside it', async () => {
    const publicAuthority = createAuthority('public authority');
    const store = getCACertificates('default');
    setDefaultCACertificates([...store, publicAuthority.cert]);
    try {
      const port = await serve(publicAuthority.issue('hooks.example'));
      const result = await post('hooks.example', port, trusting);
      expect(result).toMatchObject({ kind: 'response', status: 200 });
    } finally {
      setDefaultCACertificates(store);
    }
  });
});

describe('a file of certificates', () => {
  function read(text: string): string {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-ca-'));
    try {
      writeFileSync(join(directory, 'ca.pem'), text);
      return readCertificates(join(directory, 'ca.pem'));
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  it('may hold several, and remarks between them', async () => {
    const [first, second] = [createAuthority('first'), createAuthority('second')];
    const trustedCertificates = read(`# ours\n${first.cert}\n# theirs\n${second.cert}`);
    for (const authority of [first, second]) {
      const port = await serve(authority.issue('hooks.example'));
      const result = await post('hooks.example', port, { trustedCertificates });
      expect(result).toMatchObject({ kind: 'response' });
    }
  });

  it.each([
    ['nothing', ''],
    ['a key', createAuthority('any').key],
    ['a broken certificate', createAuthority('any').cert.replace('MII', 'AAA')],
    ['half of one', createAuthority('any').cert.slice(0, 200)],
  ])('is refused with %s in it', (_, text) => {
    expect(() => read(text)).toThrow();
  });
});
