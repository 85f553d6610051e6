import { once } from 'node:events';
import { connect, type LookupFunction, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';

import { buildConnector, errors } from 'undici';

import { asError } from './as-error.ts';
import { currentSend, newSend } from './current-send.ts';
import { within } from './within.ts';

export type Target = buildConnector.Options;

/**
 * Opens a way for bytes to the target. With the signal's abort it rejects, and ends what it has
 * opened: before as well as after it has handed that over.
 */
export type OpenSocket = (target: Target, signal: AbortSignal) => Promise<Socket>;

export interface EgressConnectorOptions {
  readonly open: OpenSocket;
  /** Milliseconds for all of it, TLS included. */
  readonly timeoutMs: number;
  /** Without it the default store is trusted. */
  readonly secureContext?: SecureContext;
}

/** What every connection is opened with, to a target or to a proxy. */
export const socketOptions = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
} as const;

/** Connects straight to what the lookup answers. */
export function openDirectly(lookup: LookupFunction): OpenSocket {
  return ({ hostname, port, protocol }, signal) => {
    const target = { host: hostname, port: portOf(port, protocol), lookup };
    return opened(connect({ ...socketOptions, ...target, signal }), 'connect');
  };
}

/** Waits until a socket that was made with a signal is what it shall be. */
export async function opened<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
): Promise<S> {
  // Stays for the socket's life: an error that nobody listens for would end the process.
  socket.on('error', () => {});
  await once(socket, event);
  return socket;
}

/** Bytes first and TLS over them, so that each has a time of its own; one clock bounds both. */
export function egressConnector(options: EgressConnectorOptions): buildConnector.connector {
  const secure = tlsConnector(options.secureContext);
  return (target, callback) => {
    const clock = new AbortController();
    const timer = setTimeout(() => {
      clock.abort(new errors.ConnectTimeoutError('the connection took too long'));
    }, options.timeoutMs);
    connection(target, clock.signal)
      .finally(() => clearTimeout(timer))
      .then(
        (socket) => callback(null, socket),
        (error: unknown) => callback(asError(error), null),
      );
  };

  async function connection(target: Target, signal: AbortSignal): Promise<Socket> {
    const { timings } = currentSend.getStore() ?? newSend();
    const startedAt = performance.now();
    const socket = await options.open(target, signal);
    const openedAt = performance.now();
    timings.connectMs = openedAt - startedAt - (timings.dnsMs ?? 0);
    if (target.protocol !== 'https:') return socket;
    try {
      const secured = await within(signal, secure(target, socket));
      timings.tlsMs = performance.now() - openedAt;
      return secured;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }
}

type Secure = (target: Target, socket: Socket) => Promise<Socket>;

/** The certificate must be the target's own, whatever the bytes pass on their way. */
function tlsConnector(secureContext: SecureContext | undefined): Secure {
  const secure = buildConnector({
    allowH2: false,
    timeout: 0,
    ...(secureContext === undefined ? {} : { secureContext }),
  });
  return (target, httpSocket) =>
    new Promise((resolve, reject) => {
      secure({ ...target, httpSocket }, (...outcome) => {
        if (outcome[0] === null) resolve(outcome[1]);
        else reject(outcome[0]);
      });
    });
}

export function portOf(port: string, protocol: string): number {
  if (port !== '') return Number(port);
  return protocol === 'https:' ? 443 : 80;
}
