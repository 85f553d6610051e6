/**
 * How busy a flow is, so that batches linger only where lingering makes them larger: one item
 * alone is never held up, and thousands a second share their requests.
 */
export interface Load {
  /** Items a second, decayed. */
  readonly perSecond: number;
  readonly atMs: number;
}

/** The memory of the rate: short enough to notice the end of a burst within a second. */
const decayMs = 250;

export const noLoad: Load = { perSecond: 0, atMs: 0 };

/** The load after `count` more items. */
export function addLoad(load: Load, count: number, nowMs: number): Load {
  const elapsedMs = Math.max(0, nowMs - load.atMs);
  const kept = load.perSecond * Math.exp(-elapsedMs / decayMs);
  return { perSecond: kept + (count * 1000) / decayMs, atMs: nowMs };
}

/** A wait for company that is worth it only when busy. */
export interface Linger {
  /** Items a second from which on it is. */
  readonly busyPerSecond: number;
  readonly lingerMs: number;
  /** It ends sooner when nothing has come for so long: a burst is over. */
  readonly quietMs?: number;
}

/** How long to wait for company: nothing below the rate at which company would come in time. */
export function lingerMs(load: Load, linger: Linger): number {
  return load.perSecond >= linger.busyPerSecond ? linger.lingerMs : 0;
}
