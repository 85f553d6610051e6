import type { IngestConfig } from './config.ts';
import type { StreamLimits } from './core/stream-room.ts';

/** How event streams of one process behave. All times are milliseconds. */
export abstract class StreamSettings implements StreamLimits {
  abstract readonly processMax: number;
  abstract readonly tenantMax: number;
  /** Mean life of a connection before its client is to come back: streams follow the replicas. */
  abstract readonly lifeMs: number;
  /** Keeps idle proxies from closing the connection; most do after 30 s or more. */
  abstract readonly keepAliveMs: number;
  /** A reader that leaves more than this unread is dropped, and may come back. */
  abstract readonly bufferedBytesMax: number;
  /** How long a reader may take for what is left after the end of its stream. */
  abstract readonly drainMsMax: number;
  /** UTF-16 code units of text kept for those who come late to jobs that others watch. */
  abstract readonly watchedLengthMax: number;
  /** How long an opening stream waits for what is known elsewhere to be known here. */
  abstract readonly catchUpMsMax: number;
}

const defaults = {
  lifeMs: 15 * 60_000,
  keepAliveMs: 15_000,
  bufferedBytesMax: 1024 * 1024,
  drainMsMax: 30_000,
  // 10,000 streams of answers of 1,600 tokens, each its own.
  watchedLengthMax: 64 * 1024 * 1024,
  catchUpMsMax: 2_000,
};

/** @param given what a spec wants to be otherwise */
export function streamSettings(
  config: Pick<IngestConfig, 'STREAMS_MAX' | 'STREAMS_PER_TENANT_MAX'>,
  given: Partial<StreamSettings> = {},
): StreamSettings {
  const { STREAMS_MAX: processMax, STREAMS_PER_TENANT_MAX: tenantMax } = config;
  return { ...defaults, processMax, tenantMax, ...given };
}
