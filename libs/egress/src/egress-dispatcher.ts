import { AsyncLocalStorage } from 'node:async_hooks';

import { Agent, buildConnector } from 'undici';

import type { EgressPolicy } from './blocked-reason.ts';
import { checkedLookup, systemResolve, type Resolve } from './checked-lookup.ts';
import { contextTrusting } from './trusted-certificates.ts';

/** Milliseconds to open a connection, TLS included: a live host needs one or two round trips. */
export const connectTimeoutMsDefault = 5_000;

export interface EgressDispatcherOptions {
  readonly connectTimeoutMs?: number;
  readonly resolve?: Resolve;
  /** Certificates trusted beside the default store, in PEM: of a network's own authority. */
  readonly trustedCertificates?: string;
}

/** How long a new connection took; all undefined for a request on a connection that was open. */
export interface ConnectTimings {
  dnsMs?: number;
  /** TCP, and TLS where there is one. */
  connectMs?: number;
  /** The TLS handshake alone, where it is known. */
  tlsMs?: number;
}

/**
 * Runs a request so that the connection it opens, if it opens one, leaves its times in the store:
 * undici connects within the asynchronous context of the request that needs a socket.
 */
export const connectTimings = new AsyncLocalStorage<ConnectTimings>();

/**
 * An undici agent that connects only to addresses that the policy lets through. It judges names;
 * undici calls no lookup for IP literals, so callers check the URL before each dispatch.
 */
export function createEgressDispatcher(
  policy: EgressPolicy,
  options: EgressDispatcherOptions = {},
): Agent {
  const timedResolve = timed(options.resolve ?? systemResolve);
  const connect = buildConnector({
    allowH2: false,
    timeout: options.connectTimeoutMs ?? connectTimeoutMsDefault,
    lookup: checkedLookup(policy, timedResolve),
    ...trustOf(options),
  });
  return new Agent({ allowH2: false, pipelining: 1, connect: timedConnector(connect) });
}

function trustOf({ trustedCertificates }: EgressDispatcherOptions) {
  if (trustedCertificates === undefined) return {};
  return { secureContext: contextTrusting(trustedCertificates) };
}

function timed(resolve: Resolve): Resolve {
  return async (hostname) => {
    const startedAt = performance.now();
    const timings = connectTimings.getStore();
    try {
      return await resolve(hostname);
    } finally {
      if (timings !== undefined) timings.dnsMs = performance.now() - startedAt;
    }
  };
}

function timedConnector(connect: buildConnector.connector): buildConnector.connector {
  return (target, callback) => {
    const startedAt = performance.now();
    const timings = connectTimings.getStore();
    connect(target, (...outcome) => {
      if (timings !== undefined) {
        timings.connectMs = performance.now() - startedAt - (timings.dnsMs ?? 0);
      }
      callback(...outcome);
    });
  };
}
