/** W3C Trace Context, read and written without a registered propagator: https://w3.org/TR/trace-context */

export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const noTrace = '0'.repeat(32);
const noSpan = '0'.repeat(16);

/** @returns undefined for what the standard says to ignore. */
export function parseTraceParent(header: string): TraceParent | undefined {
  const match = pattern.exec(header.trim());
  if (match === null) return undefined;
  const [, version, traceId = noTrace, spanId = noSpan, flags = '00', more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (traceId === noTrace || spanId === noSpan) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

/** Only the flag `sampled` is ours to pass on; the others have no meaning in version 00. */
export function formatTraceParent(parent: TraceParent): string {
  return `00-${parent.traceId}-${parent.spanId}-0${parent.flags & 1}`;
}
