import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createSocketServer, type Server } from 'node:net';

import { afterEach, describe, expect, it } from '@jest/globals';

import { createAuthority, selfSigned, type Certified } from './certificates.fixture.ts';
import { ConnectProxy, saying, tunnel } from './connect-proxy.fixture.ts';
import { DnsServer } from './dns-server.fixture.ts';
import { EgressClient, type EgressClientOptions } from './egress-client.ts';
import type { EgressProxy } from './egress-proxy.ts';

const hostname = 'hooks.example';
const local = { allowedCidrs: ['127.0.0.0/8'] };
const authority = createAuthority('private authority');
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
});

interface Seen {
  readonly servername: string | false | null;
  readonly headers: IncomingHttpHeaders;
}

/** A receiver that takes everything, on TLS when it has a certificate. */
async function receive(certified?: Certified, address = '127.0.0.1') {
  const seen: Seen[] = [];
  const server = certified === undefined ? createServer() : createTlsServer(certified);
  server.on('request', (request, response) => {
    const { headers, socket } = request;
    seen.push({ headers, servername: 'servername' in socket ? String(socket.servername) : null });
    response.end('ok');
  });
  server.on('tlsClientError', () => {});
  opened.push({ close: () => (server.closeAllConnections(), server.close()) });
  return { port: await listen(server, address), seen };
}

async function listen(server: Server, address = '127.0.0.1'): Promise<number> {
  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('not listening');
  return bound.port;
}

async function proxied(answer?: typeof tunnel, certified?: Certified) {
  const proxy = new ConnectProxy(answer, certified);
  opened.push(proxy);
  return { proxy, told: await proxy.start(certified === undefined ? '127.0.0.1' : 'localhost') };
}

function client(
  proxy: EgressProxy,
  options: EgressClientOptions = {},
  policy = local,
): EgressClient {
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const trustedCertificates = authority.cert;
  const made = new EgressClient(policy, { resolve, trustedCertificates, proxy, ...options });
  opened.push(made);
  return made;
}

function post(sender: EgressClient, url: string) {
  return sender.post({ url, headers: { 'x-a': '1' }, body: Buffer.from('hello') });
}

const delivered = { kind: 'response', status: 200 };
const notReached = { kind: 'failed', class: 'proxy' };

describe('a request through a proxy', () => {
  it('asks it for the address, and the receiver for the name', async () => {
    const { port, seen } = await receive(authority.issue(hostname));
    const { proxy, told } = await proxied();
    const result = await post(client(told), `https://${hostname}:${port}/`);
    expect(result).toMatchObject(delivered);
    expect(proxy.authorities).toEqual([`127.0.0.1:${port}`]);
    expect(proxy.asked[0]?.headers).toEqual({ host: `127.0.0.1:${port}` });
    expect(seen).toMatchObject([{ servername: hostname, headers: { 'x-a': '1' } }]);
    expect(seen[0]?.headers.host).toBe(`${hostname}:${port}`);
    const { timings } = result;
    expect(timings.connectMs).toBeGreaterThan(0);
    expect(timings.tlsMs).toBeGreaterThan(0);
  });

  it('has a tunnel for plain http, too', async () => {
    const { port, seen } = await receive();
    const { proxy, told } = await proxied();
    expect(await post(client(told), `http://127.0.0.1:${port}/`)).toMatchObject(delivered);
    expect(proxy.authorities).toEqual([`127.0.0.1:${port}`]);
    expect(Object.keys(seen[0]?.headers ?? {})).not.toContain('proxy-authorization');
  });

  it('keeps its tunnel for those that follow', async () => {
    const { port } = await receive(authority.issue(hostname));
    const { proxy, told } = await proxied();
    const sender = client(told);
    for (let i = 0; i < 5; i += 1) await post(sender, `https://${hostname}:${port}/`);
    // A second one is opened when a request comes before the first has been put back.
    expect(proxy.asked.length).toBeLessThanOrEqual(2);
  });

  it('goes to a proxy that speaks TLS, by a certificate that is trusted', async () => {
    const { port, seen } = await receive(authority.issue(hostname));
    const { told } = await proxied(tunnel, authority.issue('localhost'));
    const url = `https://${hostname}:${port}/`;
    expect(await post(client(told), url)).toMatchObject(delivered);
    expect(seen).toMatchObject([{ servername: hostname }]);
  });

  it.each([
    ['of another name', authority.issue('other.example')],
    ['of itself', selfSigned('localhost')],
  ])('shows nothing to a proxy with a certificate %s', async (_, certified) => {
    const { port } = await receive(authority.issue(hostname));
    const { proxy, told } = await proxied(tunnel, certified);
    const result = await post(client(told), `https://${hostname}:${port}/`);
    expect(result).toMatchObject(notReached);
    expect(proxy.asked).toEqual([]);
  });

  it('shows the proxy its credentials, and the receiver nothing of them', async () => {
    const { port, seen } = await receive(authority.issue(hostname));
    const { proxy, told } = await proxied((asked) => {
      if (asked.headers['proxy-authorization'] === 'Basic YTpi') tunnel(asked);
      else asked.socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    });
    const url = `https://${hostname}:${port}/`;
    expect(await post(client(told), url)).toMatchObject(notReached);
    const known = { ...told, authorization: 'Basic YTpi' };
    expect(await post(client(known), url)).toMatchObject(delivered);
    expect(proxy.asked).toHaveLength(2);
    expect(JSON.stringify(seen)).not.toContain('YTpi');
  });

  it('tries another address of a name when the proxy does not get to the first', async () => {
    const { port } = await receive(authority.issue(hostname));
    const { proxy, told } = await proxied();
    const resolve = async () => [
      { address: '127.0.0.9', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ];
    const result = await post(client(told, { resolve }), `https://${hostname}:${port}/`);
    expect(result).toMatchObject(delivered);
    expect(proxy.authorities).toEqual([`127.0.0.9:${port}`, `127.0.0.1:${port}`]);
  });
});

describe('the guard before a proxy', () => {
  it('lets no address through that is blocked', async () => {
    const { proxy, told } = await proxied();
    const resolve = async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '169.254.169.254', family: 4 },
    ];
    const sender = client(told, { resolve });
    const blocked = { kind: 'blocked', reason: 'link_local' };
    expect(await post(sender, `https://${hostname}/`)).toMatchObject(blocked);
    expect(await post(sender, 'https://169.254.169.254/')).toMatchObject(blocked);
    expect(proxy.asked).toEqual([]);
  });

  it('has the proxy connect to the address that was judged, whatever comes next', async () => {
    const judged = '127.0.0.2';
    const { port } = await receive(authority.issue(hostname), judged);
    const { proxy, told } = await proxied();
    const names = new DnsServer([judged, '127.0.0.1']);
    opened.push(names);
    const resolver = new Resolver();
    resolver.setServers([await names.start()]);
    const resolve = async (name: string) =>
      (await resolver.resolve4(name)).map((address) => ({ address, family: 4 }));
    const policy = { allowedCidrs: [`${judged}/32`] };
    const url = `https://${hostname}:${port}/`;
    expect(await post(client(told, { resolve }, policy), url)).toMatchObject(delivered);
    expect(names.asked).toBe(1);
    const next = client(told, { resolve }, policy);
    expect(await post(next, url)).toMatchObject({ kind: 'blocked', reason: 'loopback' });
    expect(proxy.authorities).toEqual([`${judged}:${port}`]);
  });

  it('waits no longer for a name than a connection may take, and blames no proxy', async () => {
    const { proxy, told } = await proxied();
    const resolve = () => new Promise<never>(() => {});
    const sender = client(told, { resolve, connectTimeoutMs: 100 });
    const result = await post(sender, `https://${hostname}/`);
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
    expect(proxy.asked).toEqual([]);
  });

  it('believes a name that is not there', async () => {
    const { proxy, told } = await proxied();
    const resolve = async () => {
      throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    };
    const result = await post(client(told, { resolve }), `https://${hostname}/`);
    expect(result).toMatchObject({ kind: 'failed', class: 'dns' });
    expect(proxy.asked).toEqual([]);
  });
});

describe('the receiver behind a proxy', () => {
  it.each([
    ['of itself', selfSigned(hostname)],
    ['of another host', authority.issue('other.example')],
  ])('is not believed with a certificate %s, as if a proxy listened in', async (_, certified) => {
    const { port, seen } = await receive(certified);
    const { told } = await proxied();
    const result = await post(client(told), `https://${hostname}:${port}/`);
    expect(result).toMatchObject({ kind: 'failed', class: 'tls' });
    expect(seen).toEqual([]);
  });

  it.each([
    ['a connection', { connectTimeoutMs: 150 }],
    ['the request', { totalTimeoutMs: 150, connectTimeoutMs: 300 }],
  ])('is the one that is late with %s when the tunnel is open', async (_, limits) => {
    const silent = createSocketServer((socket) => socket.resume());
    const port = await listen(silent);
    const ended = once(silent, 'connection').then(([socket]) => once(socket, 'close'));
    const { told } = await proxied();
    const result = await post(client(told, limits), `https://${hostname}:${port}/`);
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
    await ended;
    silent.close();
  });
});

describe('a proxy', () => {
  const url = `https://${hostname}/`;

  it.each([
    ['wants other credentials', 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'],
    ['forbids it', 'HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n<h1>No</h1>'],
    ['does not get there', 'HTTP/1.1 502 Bad Gateway\r\n\r\n'],
    ['is no proxy', 'HTTP/1.1 404 Not Found\r\n\r\n'],
    ['says less than an answer', 'HTTP/1.1 200 OK\r\nvia:'],
    ['says nothing', ''],
    ['speaks another protocol', 'SSH-2.0-OpenSSH_9.9\r\n\r\n'],
    ['speaks before the receiver is asked', 'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'],
  ])('that %s is named as what failed', async (_, text) => {
    const { proxy, told } = await proxied(saying(text));
    expect(await post(client(told), url)).toMatchObject(notReached);
    expect(proxy.asked).toHaveLength(1);
  });

  it('that is down is named as what failed', async () => {
    const { proxy, told } = await proxied();
    await proxy.close();
    opened.splice(opened.indexOf(proxy), 1);
    expect(await post(client(told), url)).toMatchObject(notReached);
  });

  it.each([
    ['than a connection may take', { connectTimeoutMs: 150 }],
    ['than the whole request', { totalTimeoutMs: 150 }],
  ])('that hangs is waited for no longer %s', async (_, limits) => {
    let ended: Promise<unknown> = Promise.resolve();
    const { told } = await proxied(({ socket }) => {
      ended = once(socket.resume(), 'end');
    });
    const result = await post(client(told, { connectTimeoutMs: 300, ...limits }), url);
    expect(result).toMatchObject(notReached);
    expect(result.timings.totalMs).toBeLessThan(1_500);
    // It sees the end of it too: nothing is left open behind a deadline.
    await ended;
  });

  it('that hangs before it speaks TLS is waited for no longer either', async () => {
    const silent = createSocketServer((socket) => socket.resume());
    const ended = once(silent, 'connection').then(([socket]) => once(socket, 'close'));
    const port = await listen(silent);
    const told = { host: '127.0.0.1', port, tls: true, authorization: null };
    expect(await post(client(told, { connectTimeoutMs: 150 }), url)).toMatchObject(notReached);
    await ended;
    silent.close();
  });

  it.each([
    ['one header', 'y'.repeat(1_000)],
    ['headers', 'x: y\r\n'.repeat(100)],
  ])('is not listened to when its answer is %s without end', async (_, piece) => {
    const { proxy, told } = await proxied(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nx: ');
      const flood = setInterval(() => socket.write(piece), 1);
      socket.on('close', () => clearInterval(flood));
    });
    const patient = client(told, { connectTimeoutMs: 30_000, totalTimeoutMs: 30_000 });
    const result = await post(patient, url);
    expect(result).toMatchObject(notReached);
    expect(result.timings.totalMs).toBeLessThan(10_000);
    const [asked] = proxy.asked;
    if (asked?.socket.closed === false) await new Promise((done) => asked.socket.on('close', done));
  });

  it('whose answer comes in pieces is understood', async () => {
    const { port } = await receive(authority.issue(hostname));
    const { told } = await proxied((asked) => {
      const { socket } = asked;
      const write = socket.write.bind(socket);
      const answer = 'HTTP/1.1 200 OK\r\nx: y\r\n\r\n';
      // The tunnel's own answer is left out, what it carries is not.
      socket.write = (chunk: Uint8Array | string, ...rest: never[]) =>
        typeof chunk === 'string' || write(chunk, ...rest);
      const drip = (at: number): void => {
        if (at === answer.length) return tunnel(asked);
        write(answer.charAt(at));
        setImmediate(drip, at + 1);
      };
      drip(0);
    });
    const result = await post(client(told), `https://${hostname}:${port}/`);
    expect(result).toMatchObject(delivered);
  });
});
