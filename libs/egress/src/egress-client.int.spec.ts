import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSocketServer, type AddressInfo } from 'node:net';

import { afterEach, describe, expect, it } from '@jest/globals';

import { bodyExcerptBytesMax, EgressClient, type EgressClientOptions } from './egress-client.ts';

const local = { allowedCidrs: ['127.0.0.0/8', '::1/128'] };
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
});

function client(options: EgressClientOptions = {}, policy = local): EgressClient {
  const made = new EgressClient(policy, options);
  opened.push(made);
  return made;
}

async function serve(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push({ close: () => (server.closeAllConnections(), server.close()) });
  return portOf(server.address());
}

function portOf(address: string | AddressInfo | null): string {
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return String(address.port);
}

function post(sender: EgressClient, url: string, signal?: AbortSignal) {
  const request = { url, headers: { 'content-type': 'text/plain' }, body: Buffer.from('hello') };
  return sender.post(signal === undefined ? request : { ...request, signal });
}

describe('EgressClient', () => {
  it('sends the bytes and tells status, headers, body and times', async () => {
    const seen: string[] = [];
    const port = await serve((request, response) => {
      request.on('data', (chunk) => seen.push(`${request.method} ${request.url} ${chunk}`));
      request.on('end', () => response.writeHead(201, { 'x-a': ['1', '2'] }).end('thanks'));
    });
    const result = await post(client(), `http://127.0.0.1:${port}/hook?x=1`);
    expect(result).toMatchObject({ kind: 'response', status: 201, headers: { 'x-a': '1, 2' } });
    if (result.kind !== 'response') throw new Error(result.kind);
    expect(result.bodyExcerpt.toString()).toBe('thanks');
    expect(result.timings.connectMs).toBeGreaterThan(0);
    expect(result.timings.tlsMs).toBeUndefined();
    expect(result.timings.firstByteMs).toBeLessThanOrEqual(result.timings.totalMs);
    expect(seen).toEqual(['POST /hook?x=1 hello']);
  });

  it('reaches an allowed name, and only the addresses it was resolved to', async () => {
    const port = await serve((_, response) => response.end());
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
    const result = await post(client({ resolve }), `http://any.localhost:${port}/`);
    expect(result).toMatchObject({ kind: 'response', status: 200 });
    expect(result.timings.dnsMs).toBeGreaterThanOrEqual(0);
  });

  it('keeps connections for later requests', async () => {
    const ports = new Set<number | undefined>();
    const port = await serve((request, response) => {
      ports.add(request.socket.remotePort);
      response.end('ok');
    });
    const sender = client();
    for (let i = 0; i < 20; i++) await post(sender, `http://127.0.0.1:${port}/`);
    // A second one is opened when a request comes before the first has been put back.
    expect(ports.size).toBeLessThanOrEqual(2);
  });

  it('does not follow a redirect', async () => {
    const urls: (string | undefined)[] = [];
    const port = await serve((request, response) => {
      urls.push(request.url);
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    const result = await post(client(), `http://127.0.0.1:${port}/hook`);
    expect(result).toMatchObject({ kind: 'response', status: 302 });
    expect(urls).toEqual(['/hook']);
  });

  it('reads a dripping body for a short time only', async () => {
    const port = await serve((request, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 10);
      request.socket.on('close', () => clearInterval(drip));
    });
    const result = await post(client({ bodyReadMs: 100 }), `http://127.0.0.1:${port}/`);
    expect(result).toMatchObject({ kind: 'response', status: 200 });
    expect(result.timings.totalMs).toBeLessThan(1_500);
  });

  it('reads a flooding body up to its limit only', async () => {
    const port = await serve((_, response) => void response.end(Buffer.alloc(4_000_000, 'x')));
    const result = await post(client(), `http://127.0.0.1:${port}/`);
    if (result.kind !== 'response') throw new Error(result.kind);
    expect(result.bodyExcerpt.length).toBe(bodyExcerptBytesMax);
  });

  it('gives up on a server that takes the request and never answers', async () => {
    const port = await serve(() => {});
    const result = await post(client({ totalTimeoutMs: 100 }), `http://127.0.0.1:${port}/`);
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
    expect(result.timings.totalMs).toBeLessThan(1_500);
  });

  it('gives up on headers that drip, however lively the socket is', async () => {
    const server = createSocketServer((socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 200 OK\r\n');
      const drip = setInterval(() => socket.write('x: y\r\n'), 10);
      socket.on('close', () => clearInterval(drip));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push(server);
    const url = `http://127.0.0.1:${portOf(server.address())}/`;
    const result = await post(client({ totalTimeoutMs: 150 }), url);
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
  });

  it('gives up on a name that nobody resolves', async () => {
    const resolve = () => new Promise<never>(() => {});
    const result = await post(client({ resolve, connectTimeoutMs: 100 }), 'https://slow.example/');
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
    expect(result.timings.totalMs).toBeLessThan(1_500);
  });

  it('stops when the caller does', async () => {
    const port = await serve(() => {});
    const result = await post(client(), `http://127.0.0.1:${port}/`, AbortSignal.timeout(50));
    expect(result).toMatchObject({ kind: 'failed', class: 'aborted' });
  });

  it('names the class of a failure', async () => {
    const port = await serve((request) => request.socket.destroy());
    const sender = client();
    expect(await post(sender, `http://127.0.0.1:${port}/`)).toMatchObject({ class: 'reset' });
    expect(await post(sender, `https://127.0.0.1:${port}/`)).toMatchObject({ class: 'tls' });
    expect(await post(sender, 'http://127.0.0.1:1/')).toMatchObject({ class: 'refused' });
    const missing = async () => {
      throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    };
    const lost = client({ resolve: missing });
    expect(await post(lost, 'https://nowhere.example/')).toMatchObject({ class: 'dns' });
  });

  it('connects to no literal that the policy refuses', async () => {
    let requests = 0;
    const port = await serve((_, response) => response.end(String(requests++)));
    const strict = client({}, { allowedCidrs: [] });
    for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', '0x7f000001', 'localhost']) {
      const result = await post(strict, `https://${host}:${port}/`);
      expect(result).toMatchObject({ kind: 'blocked' });
    }
    expect(requests).toBe(0);
  });

  it('refuses a name if any of its addresses is blocked', async () => {
    const resolve = async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '169.254.169.254', family: 4 },
    ];
    const result = await post(client({ resolve }), 'https://rebinding.example/');
    expect(result).toMatchObject({ kind: 'blocked', reason: 'link_local' });
  });

  it('refuses a loopback name that leads elsewhere', async () => {
    const resolve = async () => [{ address: '8.8.8.8', family: 4 }];
    const result = await post(client({ resolve }), 'http://localhost/');
    expect(result).toMatchObject({ kind: 'blocked', reason: 'not_loopback' });
  });
});
