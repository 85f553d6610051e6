import { randomBytes } from 'node:crypto';

import { traceHeaders } from '@millrace/contracts';
import { injectTrace, traceIdOf } from '@millrace/runtime';
import { trace, TraceFlags, type Context } from '@opentelemetry/api';

/** A context that belongs to some trace, even where tracing is off: ids are shown to callers. */
export function withTrace(context: Context): Context {
  if (traceIdOf(context) !== undefined) return context;
  const ids = randomBytes(24).toString('hex');
  return trace.setSpanContext(context, {
    traceId: ids.slice(0, 32),
    spanId: ids.slice(32),
    traceFlags: TraceFlags.NONE,
  });
}

/**
 * The same place in the trace, but not the span: what belongs to one of many jobs must not be
 * written on the span of their one request.
 */
export function sharedTrace(context: Context): Context {
  const place = trace.getSpanContext(context);
  return place === undefined ? context : trace.setSpanContext(context, place);
}

/** The `traceparent` that a job's row keeps. */
export function traceparentOf(context: Context): string {
  return injectTrace(context)[traceHeaders.parent] ?? '';
}
