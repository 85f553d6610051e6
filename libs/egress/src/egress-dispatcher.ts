import { Agent, Pool, type buildConnector } from 'undici';

import type { EgressPolicy } from './blocked-reason.ts';
import { checkedLookup, checkedResolve, systemResolve, type Resolve } from './checked-lookup.ts';
import { currentSend } from './current-send.ts';
import { egressConnector, openDirectly } from './egress-connector.ts';
import type { EgressProxy } from './egress-proxy.ts';
import { NotingClient } from './noting-client.ts';
import { openThroughProxy } from './open-through-proxy.ts';
import { contextTrusting } from './trusted-certificates.ts';

/** Milliseconds to open a connection, TLS included: a live host needs one or two round trips. */
export const connectTimeoutMsDefault = 5_000;

export interface EgressDispatcherOptions {
  readonly connectTimeoutMs?: number;
  readonly resolve?: Resolve;
  /** Certificates trusted beside the default store, in PEM: of a network's own authority. */
  readonly trustedCertificates?: string;
  /** Every connection goes through it. */
  readonly proxy?: EgressProxy;
}

/** What connects only to addresses that the policy lets through, straight or by the proxy. */
export function createEgressConnector(
  policy: EgressPolicy,
  options: EgressDispatcherOptions = {},
): buildConnector.connector {
  const { connectTimeoutMs, proxy, trustedCertificates } = options;
  const resolve = checkedResolve(policy, timed(options.resolve ?? systemResolve));
  const trust =
    trustedCertificates === undefined
      ? {}
      : { secureContext: contextTrusting(trustedCertificates) };
  return egressConnector({
    open:
      proxy === undefined
        ? openDirectly(checkedLookup(resolve))
        : openThroughProxy({ proxy, resolve, ...trust }),
    timeoutMs: connectTimeoutMs ?? connectTimeoutMsDefault,
    ...trust,
  });
}

/**
 * An undici agent over such a connector. It judges names; undici calls no lookup for IP literals,
 * so callers check the URL before each dispatch.
 */
export function createEgressDispatcher(connect: buildConnector.connector): Agent {
  const options = { allowH2: false, pipelining: 1, connect } as const;
  const newClient = (origin: URL) => new NotingClient(origin, options);
  return new Agent({
    ...options,
    factory: (origin) => new Pool(origin, { ...options, factory: newClient }),
  });
}

/** The same with a new connection for each request. */
export function createFreshDispatcher(connect: buildConnector.connector): Agent {
  return new Agent({ allowH2: false, pipelining: 0, connect });
}

function timed(resolve: Resolve): Resolve {
  return async (hostname) => {
    const startedAt = performance.now();
    const timings = currentSend.getStore()?.timings;
    try {
      return await resolve(hostname);
    } finally {
      if (timings !== undefined) timings.dnsMs = performance.now() - startedAt;
    }
  };
}
