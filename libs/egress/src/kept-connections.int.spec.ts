import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

import { afterEach, describe, expect, it } from '@jest/globals';

import { createAuthority } from './certificates.fixture.ts';
import { ConnectProxy } from './connect-proxy.fixture.ts';
import { EgressClient, type EgressClientOptions } from './egress-client.ts';

const authority = createAuthority('private authority');
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
});

/** What a receiver does with the nth request, from 1, on one of its connections. */
type Answer = (socket: Socket, nth: number) => void;

const ok: Answer = (socket) => {
  socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
};
const reset: Answer = (socket) => void socket.resetAndDestroy();
const closing: Answer = (socket) => void socket.end();
/** As far as a TLS server can reset. */
const dropping: Answer = (socket) => void socket.destroy();
const onReuse =
  (answer: Answer): Answer =>
  (socket, nth) => (nth === 1 ? ok(socket, nth) : answer(socket, nth));

interface Seen {
  readonly connection: number;
  readonly nth: number;
  readonly text: string;
}

/** A receiver that sees each request as it lies on the wire. */
class Receiver {
  readonly seen: Seen[] = [];
  private connections = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor(
    private answer: Answer,
    private readonly scheme: 'http' | 'https' = 'http',
  ) {
    const listener = (socket: Socket) => this.serve(socket);
    const certified = authority.issue('hooks.example');
    this.server =
      scheme === 'http' ? createServer(listener) : createTlsServer(certified, listener);
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket.on('error', () => {}));
    });
  }

  async url(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    const host = this.scheme === 'http' ? '127.0.0.1' : 'hooks.example';
    return `${this.scheme}://${host}:${address.port}/`;
  }

  /** Of the requests that came on a kept connection. */
  get reused(): Seen[] {
    return this.seen.filter(({ nth }) => nth > 1);
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private serve(socket: Socket): void {
    const connection = ++this.connections;
    let nth = 0;
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n\r\nhello')) return;
      this.seen.push({ connection, nth: ++nth, text });
      text = '';
      this.answer(socket, nth);
    });
  }
}

async function receiving(answer: Answer, scheme: 'http' | 'https' = 'http') {
  const receiver = new Receiver(answer, scheme);
  opened.push(receiver);
  return { receiver, url: await receiver.url() };
}

function client(options: EgressClientOptions = {}): EgressClient {
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const trust = { resolve, trustedCertificates: authority.cert };
  const made = new EgressClient({ allowedCidrs: ['127.0.0.0/8'] }, { ...trust, ...options });
  opened.push(made);
  return made;
}

const message = { headers: { 'webhook-id': 'msg_1' }, body: Buffer.from('hello') };

/** One after the other, until one of them went out on a connection that was kept. */
async function postUntilReused(receiver: Receiver, url: string, sender = client()) {
  for (;;) {
    const result = await sender.post({ ...message, url, idempotent: true });
    if (receiver.reused.length > 0) return result;
    expect(result).toMatchObject({ kind: 'response', status: 200 });
  }
}

/** Its own headers, and not those of the connection. */
function withoutConnection({ text }: Seen): string {
  return text.replace(/connection: .*\r\n/, '');
}

describe('a request on a connection that its receiver closes at that moment', () => {
  it.each([
    ['resets', reset],
    ['closes', closing],
  ])('goes out once more, as it was, on a new one (%s)', async (_, answer) => {
    const { receiver, url } = await receiving(onReuse(answer));
    const result = await postUntilReused(receiver, url);
    expect(result).toMatchObject({ kind: 'response', status: 200 });
    const [cut, again, ...more] = receiver.seen.slice(-2);
    expect(cut?.nth).toBe(2);
    expect(again?.nth).toBe(1);
    expect(more).toEqual([]);
    expect(again && withoutConnection(again)).toBe(cut && withoutConnection(cut));
  });

  it('does so through TLS and a proxy', async () => {
    const { receiver, url } = await receiving(onReuse(dropping), 'https');
    const proxy = new ConnectProxy();
    opened.push(proxy);
    const sender = client({ proxy: await proxy.start() });
    const result = await postUntilReused(receiver, url, sender);
    expect(result).toMatchObject({ kind: 'response', status: 200 });
    expect(receiver.seen.at(-1)?.nth).toBe(1);
  });

  it('goes out twice and no more', async () => {
    const { receiver, url } = await receiving((socket, nth) => {
      if (nth === 1 && receiver.reused.length === 0) ok(socket, nth);
      else reset(socket, nth);
    });
    const result = await postUntilReused(receiver, url);
    expect(result).toMatchObject({ kind: 'failed', class: 'reset' });
    expect(receiver.seen.slice(-2).map(({ nth }) => nth)).toEqual([2, 1]);
    expect(receiver.reused).toHaveLength(1);
  });

  it('has one time for both', async () => {
    const { receiver, url } = await receiving((socket, nth) => {
      if (nth > 1) reset(socket, nth);
      else if (receiver.reused.length === 0) ok(socket, nth);
    });
    const sender = client({ totalTimeoutMs: 200 });
    const result = await postUntilReused(receiver, url, sender);
    expect(result).toMatchObject({ kind: 'failed', class: 'timeout' });
    expect(receiver.seen.at(-1)?.nth).toBe(1);
  });

  it('is given up when nobody knows a second copy of it', async () => {
    const { receiver, url } = await receiving(onReuse(reset));
    const sender = client();
    const exchange = { ...message, url, timeoutMs: 5_000, bodyBytesMax: 100 };
    let last;
    do last = await sender.exchange(exchange);
    while (receiver.reused.length === 0);
    expect(last).toMatchObject({ kind: 'failed', class: 'reset' });
    expect(receiver.seen.at(-1)?.nth).toBe(2);
  });

  it('is given up after the first byte of an answer', async () => {
    const { receiver, url } = await receiving(
      onReuse((socket) => {
        socket.write('HTTP/1.1 2', () => socket.end());
      }),
    );
    const result = await postUntilReused(receiver, url);
    expect(result).toMatchObject({ kind: 'failed', class: 'reset' });
    expect(receiver.seen.at(-1)?.nth).toBe(2);
  });
});

describe('a request on a new connection that its receiver resets', () => {
  it('is given up', async () => {
    const { receiver, url } = await receiving(reset);
    const result = await client().post({ ...message, url, idempotent: true });
    expect(result).toMatchObject({ kind: 'failed', class: 'reset' });
    expect(receiver.seen).toHaveLength(1);
  });

  it('is given up although it takes the place of one that was kept', async () => {
    const waiting: Socket[] = [];
    const { receiver, url } = await receiving((socket) => {
      const { connection, nth } = receiver.seen.at(-1) ?? {};
      if (connection !== undefined && connection > 2) return reset(socket, 1);
      if (nth !== 1) return ok(socket, 2);
      // Two connections: neither is kept before the other is made.
      waiting.push(socket);
      if (waiting.length === 2) waiting.forEach((each) => ok(each, 1));
    });
    const sender = client();
    const two = () => {
      const post = () => sender.post({ ...message, url, idempotent: true });
      return Promise.all([post(), post()]);
    };
    expect(await two()).toMatchObject([{ status: 200 }, { status: 200 }]);
    const [closed] = waiting;
    if (closed === undefined) throw new Error('nobody came');
    await once(closed.end(), 'close');
    const results = await two();
    expect(results.filter(({ kind }) => kind === 'response')).toHaveLength(1);
    expect(results.filter(({ kind }) => kind === 'failed')).toMatchObject([{ class: 'reset' }]);
    expect(receiver.seen.map(({ connection }) => connection).sort()).toEqual([1, 2, 2, 3]);
  });
});
