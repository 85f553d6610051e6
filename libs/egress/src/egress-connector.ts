import { AsyncLocalStorage } from 'node:async_hooks';
import { connect, type LookupFunction, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';

import { buildConnector, errors } from 'undici';

/** How long a new connection took; all undefined for a request on a connection that was open. */
export interface ConnectTimings {
  dnsMs?: number;
  /** TCP alone. */
  connectMs?: number;
  tlsMs?: number;
}

/**
 * Runs a request so that the connection it opens, if it opens one, leaves its times in the store:
 * undici connects within the asynchronous context of the request that needs a socket.
 */
export const connectTimings = new AsyncLocalStorage<ConnectTimings>();

export type Target = buildConnector.Options;

/** Begins to connect; the socket emits `connect` or `error`. */
export type OpenSocket = (target: Target) => Socket;

export interface EgressConnectorOptions {
  readonly open: OpenSocket;
  /** Milliseconds for all of it, TLS included. */
  readonly timeoutMs: number;
  /** Without it the default store is trusted. */
  readonly secureContext?: SecureContext;
}

const keepAliveProbeMs = 60_000;

/** Connects straight to what the lookup answers. */
export function openDirectly(lookup: LookupFunction): OpenSocket {
  return ({ hostname, port, protocol }) =>
    connect({
      host: hostname,
      port: portOf(port, protocol),
      lookup,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveProbeMs,
    });
}

/** TCP first and TLS over it, so that each has a time of its own; one clock bounds both. */
export function egressConnector(options: EgressConnectorOptions): buildConnector.connector {
  const { secureContext } = options;
  const secure = buildConnector({
    allowH2: false,
    timeout: 0,
    ...(secureContext === undefined ? {} : { secureContext }),
  });
  return (target, callback) => {
    const timings = connectTimings.getStore() ?? {};
    const startedAt = performance.now();
    const socket = options.open(target);
    const timer = setTimeout(() => {
      settle(new errors.ConnectTimeoutError('the connection took too long'), null);
    }, options.timeoutMs);
    const settle = onceOnly((...outcome) => {
      clearTimeout(timer);
      if (outcome[0] !== null) socket.destroy();
      callback(...outcome);
    });
    // Stays for the socket's life: an error that nobody listens for would end the process.
    socket.on('error', (error) => settle(error, null));
    socket.once('connect', () => {
      const connectedAt = performance.now();
      timings.connectMs = connectedAt - startedAt - (timings.dnsMs ?? 0);
      if (target.protocol !== 'https:') return settle(null, socket);
      secure({ ...target, httpSocket: socket }, (...outcome) => {
        if (outcome[0] === null) timings.tlsMs = performance.now() - connectedAt;
        settle(...outcome);
      });
    });
  };
}

export function portOf(port: string, protocol: string): number {
  if (port !== '') return Number(port);
  return protocol === 'https:' ? 443 : 80;
}

function onceOnly(callback: buildConnector.Callback): buildConnector.Callback {
  let called = false;
  return (...outcome) => {
    if (called) return;
    called = true;
    callback(...outcome);
  };
}
