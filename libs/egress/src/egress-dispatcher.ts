import { Agent } from 'undici';

import type { EgressPolicy } from './blocked-reason.ts';
import { checkedLookup, systemResolve, type Resolve } from './checked-lookup.ts';
import { connectTimings, egressConnector, openDirectly } from './egress-connector.ts';
import { contextTrusting } from './trusted-certificates.ts';

/** Milliseconds to open a connection, TLS included: a live host needs one or two round trips. */
export const connectTimeoutMsDefault = 5_000;

export interface EgressDispatcherOptions {
  readonly connectTimeoutMs?: number;
  readonly resolve?: Resolve;
  /** Certificates trusted beside the default store, in PEM: of a network's own authority. */
  readonly trustedCertificates?: string;
}

/**
 * An undici agent that connects only to addresses that the policy lets through. It judges names;
 * undici calls no lookup for IP literals, so callers check the URL before each dispatch.
 */
export function createEgressDispatcher(
  policy: EgressPolicy,
  options: EgressDispatcherOptions = {},
): Agent {
  const { connectTimeoutMs, trustedCertificates } = options;
  const lookup = checkedLookup(policy, timed(options.resolve ?? systemResolve));
  const connect = egressConnector({
    open: openDirectly(lookup),
    timeoutMs: connectTimeoutMs ?? connectTimeoutMsDefault,
    ...(trustedCertificates === undefined
      ? {}
      : { secureContext: contextTrusting(trustedCertificates) }),
  });
  return new Agent({ allowH2: false, pipelining: 1, connect });
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
