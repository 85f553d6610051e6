import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import type { Certified } from './certificates.fixture.ts';
import type { EgressProxy } from './egress-proxy.ts';

export interface Asked {
  readonly authority: string;
  readonly headers: IncomingMessage['headers'];
  /** Whoever has asked; ends when they do. */
  readonly socket: Duplex;
}

/** An HTTP proxy that opens tunnels, or answers a CONNECT as the spec says. */
export class ConnectProxy {
  readonly asked: Asked[] = [];
  private readonly server;
  private readonly sockets = new Set<Duplex>();

  /** @param certified with it the proxy itself speaks TLS. */
  constructor(
    private readonly answer: (asked: Asked) => void = tunnel,
    certified?: Certified,
  ) {
    this.server = certified === undefined ? createServer() : createTlsServer(certified);
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket.on('close', () => this.sockets.delete(socket)));
    });
    this.server.on('tlsClientError', () => {});
    this.server.on('connect', ({ url = '', headers }, socket: Duplex) => {
      socket.on('error', () => {});
      const asked = { authority: url, headers, socket };
      this.asked.push(asked);
      this.answer(asked);
    });
  }

  /** @returns what a client is told of it. */
  async start(host = '127.0.0.1'): Promise<EgressProxy> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    const tls = 'setSecureContext' in this.server;
    return { host, port: address.port, tls, authorization: null };
  }

  get authorities(): string[] {
    return this.asked.map(({ authority }) => authority);
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

/** What a proxy is there for. */
export function tunnel({ authority, socket }: Asked): void {
  const [, host = '', port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(authority) ?? [];
  const upstream = connect(Number(port), host);
  upstream.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
  upstream.on('connect', () => {
    socket.write('HTTP/1.1 200 Connection established\r\nvia: 1.1 fixture\r\n\r\n');
    upstream.pipe(socket).pipe(upstream);
  });
  upstream.on('close', () => socket.destroy());
  socket.on('close', () => upstream.destroy());
}

/** Answers every CONNECT with these bytes and hangs up. */
export function saying(text: string): (asked: Asked) => void {
  return ({ socket }) => void socket.end(text);
}
