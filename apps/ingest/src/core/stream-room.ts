/** How many event streams one process holds open. */
export interface StreamLimits {
  readonly processMax: number;
  readonly tenantMax: number;
}

/** Streams that are open in this process now: of everybody, and of the tenant that asks. */
export interface OpenStreams {
  readonly process: number;
  readonly tenant: number;
}

export type StreamRoom = 'room' | 'tenant_full' | 'process_full';

/** Whether one more stream may be opened. A tenant at its own limit is told so first. */
export function streamRoom(open: OpenStreams, limits: StreamLimits): StreamRoom {
  if (open.tenant >= limits.tenantMax) return 'tenant_full';
  return open.process >= limits.processMax ? 'process_full' : 'room';
}
