import { traceHeaders } from '@millrace/contracts';
import type { Context, Span, SpanOptions, Tracer } from '@opentelemetry/api';
import {
  ROOT_CONTEXT,
  TraceFlags,
  createTraceState,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { Sampler, SamplingResult } from '@opentelemetry/sdk-trace';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  SamplingDecision,
} from '@opentelemetry/sdk-trace';
import {
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
} from '@opentelemetry/semantic-conventions';

import {
  addSpans,
  rootSamplingDefault,
  rootSamplingStart,
  sampleRoot,
} from './core/root-sampling.ts';
import { formatTraceParent, parseTraceParent } from './core/trace-context.ts';

const millraceTracer = 'millrace';
/** Traces show up while one still looks at the page. */
const exportEveryMs = 1000;
/** Spans kept while the collector is slow: 40 s of 200 sampled jobs a second in one service. */
const spansQueuedMax = 16_384;

/** @returns the one tracer of this platform; spans of a process without tracing cost nothing. */
export function tracer(): Tracer {
  return trace.getTracer(millraceTracer);
}

/**
 * Starts a span, and has its attributes made, unless its trace is not kept: under load that is most
 * of them, and their parent's context then goes on in its place.
 */
export function startSpan(name: string, options: () => SpanOptions, parent: Context): Span {
  const from = trace.getSpanContext(parent);
  const isDropped =
    from !== undefined &&
    isSpanContextValid(from) &&
    (from.traceFlags & TraceFlags.SAMPLED) === 0;
  return isDropped ? trace.wrapSpanContext(from) : tracer().startSpan(name, options(), parent);
}

/**
 * Says that what begins here has so many spans beyond those of a job that asks Claude once: the
 * more of them, the fewer new traces are kept.
 */
export function expectSpans(context: Context, spans: number): void {
  const flags = trace.getSpanContext(context)?.traceFlags ?? TraceFlags.NONE;
  if ((flags & TraceFlags.SAMPLED) !== 0) rootSampler.expect(spans);
}

/** The headers that carry a context's span over a process boundary. */
export function injectTrace(context: Context): Record<string, string> {
  const span = trace.getSpanContext(context);
  if (span === undefined || !isSpanContextValid(span)) return {};
  const parent = formatTraceParent({ ...span, flags: span.traceFlags });
  const state = span.traceState?.serialize();
  return state === undefined || state === ''
    ? { [traceHeaders.parent]: parent }
    : { [traceHeaders.parent]: parent, [traceHeaders.state]: state };
}

/** The context that headers carry; the root when they carry none that is valid. */
export function extractTrace(headers: Readonly<Record<string, string | undefined>>): Context {
  const header = headers[traceHeaders.parent];
  const parent = header === undefined ? undefined : parseTraceParent(header);
  if (parent === undefined) return ROOT_CONTEXT;
  const state = headers[traceHeaders.state];
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: parent.flags,
    isRemote: true,
    ...(state === undefined ? {} : { traceState: createTraceState(state) }),
  });
}

/** The trace that a context belongs to, as users see it in answers and problem documents. */
export function traceIdOf(context: Context): string | undefined {
  const span = trace.getSpanContext(context);
  return span !== undefined && isSpanContextValid(span) ? span.traceId : undefined;
}

export interface Tracing {
  /** Sends what is left. Never throws, and ends within the export timeout and a little. */
  shutdown(): Promise<void>;
}

export interface TracingOptions {
  readonly service: string;
  readonly instance: string;
  readonly exportTimeoutMs: number;
  readonly onError?: (error: unknown) => void;
}

/**
 * Starts tracing for this process. Where spans go is read by the SDK from the standard `OTEL_*`
 * variables; with `OTEL_SDK_DISABLED` trace headers are still passed on, and nothing is recorded.
 */
export function startTracing(options: TracingOptions): Tracing {
  const exporter = new OTLPTraceExporter({ timeoutMillis: options.exportTimeoutMs });
  const sdk = new NodeSDK({
    // Instrumentations would write over the trace headers of an outbox: every span is our own.
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
    resource: resourceFromAttributes({
      [ATTR_SERVICE_NAME]: options.service,
      [ATTR_SERVICE_INSTANCE_ID]: options.instance,
    }),
    resourceDetectors: [envDetector],
    sampler: new ParentBasedSampler({ root: rootSampler }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        scheduledDelayMillis: exportEveryMs,
        exportTimeoutMillis: options.exportTimeoutMs,
        maxQueueSize: spansQueuedMax,
      }),
    ],
  });
  sdk.start();
  return { shutdown: () => shutDown(sdk, options) };
}

async function shutDown(sdk: NodeSDK, options: TracingOptions): Promise<void> {
  // The SDK waits for retries of a collector that is not there; a stop has no time for that.
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, options.exportTimeoutMs + 500);
  });
  try {
    await Promise.race([sdk.shutdown(), deadline]);
  } catch (error) {
    options.onError?.(error);
  } finally {
    clearTimeout(timer);
  }
}

class BurstSampler implements Sampler {
  private state = rootSamplingStart;

  shouldSample(_context: Context, traceId: string): SamplingResult {
    const root = { traceId, nowMs: Date.now() };
    const { keep, state } = sampleRoot(rootSamplingDefault, this.state, root);
    this.state = state;
    return { decision: keep ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD };
  }

  expect(spans: number): void {
    this.state = addSpans(rootSamplingDefault, this.state, { spans, nowMs: Date.now() });
  }

  toString(): string {
    return 'BurstSampler';
  }
}

const rootSampler = new BurstSampler();
