import { connect, isIPv6, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';

import type { Resolve } from './checked-lookup.ts';
import { currentSend } from './current-send.ts';
import { opened, portOf, socketOptions, type OpenSocket } from './egress-connector.ts';
import type { EgressProxy } from './egress-proxy.ts';
import { failureClassOf } from './failure-class.ts';
import { ProxyError } from './proxy-error.ts';
import { within } from './within.ts';

/*
 * P1 The proxy is told an address that was judged here, and never a name: it resolves nothing, so
 *    that nothing can be bound anew behind our back.
 * P2 What the proxy says is believed up to the end of its answer's head, which has a limit. Behind
 *    that are the target's bytes, and TLS goes to the target itself.
 * P3 Where the proxy is was said by the operator, not by a user: the guard does not judge it.
 */

/** Bytes of the head of an answer to CONNECT: a status line and some headers. */
export const proxyHeadBytesMax = 16 * 1024;
/** Addresses of one name that are tried in turn: some of each family. */
const addressesTriedMax = 4;
/** It did not get through to this address; it may to another of the same name. */
const notReachedStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

export interface ThroughProxyOptions {
  readonly proxy: EgressProxy;
  /** Judges what it answers. */
  readonly resolve: Resolve;
  /** For the way to the proxy; without it the default store is trusted. */
  readonly secureContext?: SecureContext;
}

/** Opens tunnels (P1); rejects with a ProxyError for whatever the proxy is to blame for. */
export function openThroughProxy(options: ThroughProxyOptions): OpenSocket {
  return async ({ hostname, port, protocol }, signal) => {
    const addresses = await within(signal, options.resolve(hostname));
    const authorities = addresses
      .slice(0, addressesTriedMax)
      .map(({ address }) => authorityOf(address, portOf(port, protocol)));
    const send = currentSend.getStore();
    if (send !== undefined) send.atProxy = true;
    const socket = await tunnelToAny(authorities, options, signal);
    if (send !== undefined) send.atProxy = false;
    return socket;
  };
}

async function tunnelToAny(
  authorities: readonly string[],
  options: ThroughProxyOptions,
  signal: AbortSignal,
): Promise<Socket> {
  let status = 0;
  for (const authority of authorities) {
    const answer = await askFor(authority, options, signal);
    if (answer.kind === 'open') return answer.socket;
    ({ status } = answer);
    if (!notReachedStatuses.has(status)) break;
  }
  throw new ProxyError(`the egress proxy answered ${status}`);
}

type Answer =
  | { readonly kind: 'open'; readonly socket: Socket }
  | { readonly kind: 'refused'; readonly status: number };

async function askFor(
  authority: string,
  options: ThroughProxyOptions,
  signal: AbortSignal,
): Promise<Answer> {
  const socket = dial(options, signal);
  try {
    await opened(socket, options.proxy.tls ? 'secureConnect' : 'connect');
    socket.write(requestFor(authority, options.proxy));
    const { status, early } = await readAnswer(socket);
    if (status >= 200 && status < 300) {
      // A server whom nobody has asked is silent: this would be taken for its answer.
      if (early > 0) throw new ProxyError('the egress proxy sent bytes of its own');
      return { kind: 'open', socket };
    }
    socket.destroy();
    return { kind: 'refused', status };
  } catch (error) {
    socket.destroy();
    throw blamed(error);
  }
}

/** (P3) */
function dial({ proxy, secureContext }: ThroughProxyOptions, signal: AbortSignal): Socket {
  const { host, port, tls } = proxy;
  const target = { ...socketOptions, host, port, signal };
  if (!tls) return connect(target);
  return connectTls({
    ...target,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(secureContext === undefined ? {} : { secureContext }),
  });
}

function requestFor(authority: string, { authorization }: EgressProxy): string {
  const lines = [`CONNECT ${authority} HTTP/1.1`, `host: ${authority}`];
  if (authorization !== null) lines.push(`proxy-authorization: ${authorization}`);
  return [...lines, '', ''].join('\r\n');
}

/** (P2) @returns the status, and how many bytes came behind the head. */
async function readAnswer(socket: Socket): Promise<{ status: number; early: number }> {
  let got = Buffer.alloc(0);
  const chunks: AsyncIterable<Buffer> = socket.iterator({ destroyOnReturn: false });
  for await (const chunk of chunks) {
    got = Buffer.concat([got, chunk]);
    const end = got.subarray(0, proxyHeadBytesMax).indexOf('\r\n\r\n');
    if (end >= 0) return { status: statusOf(got), early: got.length - end - 4 };
    if (got.length >= proxyHeadBytesMax) throw new ProxyError('the egress proxy says too much');
  }
  throw new ProxyError('the egress proxy closed the connection');
}

function statusOf(head: Buffer): number {
  const [, status] = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(head.toString('latin1')) ?? [];
  if (status === undefined) throw new ProxyError('the egress proxy does not speak HTTP');
  return Number(status);
}

/** That we have no sockets left is no fault of the proxy. */
function blamed(error: unknown): unknown {
  if (error instanceof ProxyError || failureClassOf(error) === 'local') return error;
  return new ProxyError('the egress proxy cannot be used', { cause: error });
}

function authorityOf(address: string, port: number): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
