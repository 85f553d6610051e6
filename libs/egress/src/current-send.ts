import { AsyncLocalStorage } from 'node:async_hooks';

/** How long a new connection took; all undefined for a request on a connection that was open. */
export interface ConnectTimings {
  dnsMs?: number;
  /** TCP alone; behind a proxy until its tunnel is open. */
  connectMs?: number;
  tlsMs?: number;
}

/** What is learned of one request on its way through undici. */
export interface Send {
  readonly timings: ConnectTimings;
  /** It waits for the proxy: to be reached, or to answer. */
  atProxy: boolean;
  /** It went out on a connection that had carried a request before. */
  reused: boolean;
  /** A first byte of an answer came. */
  answered: boolean;
}

/**
 * The request that is under way: undici opens connections and dispatches requests within the
 * asynchronous context of whoever needs them, and hands nothing of ours through.
 */
export const currentSend = new AsyncLocalStorage<Send>();

export function newSend(): Send {
  return { timings: {}, atProxy: false, reused: false, answered: false };
}
