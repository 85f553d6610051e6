/**
 * The trace that the sample job's upstream system begins: its `send` span goes to the same
 * collector as the services' spans, so that the job is one whole tree there.
 */
import { SpanKind } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

/** A collector that is not there must not hold up the sample. */
const exportTimeoutMs = 1_000;

/**
 * @param {{ topic: string, jobId: string }} sending
 * @returns {{ traceId: string, traceparent: string, end: () => Promise<void> }} `end` never rejects
 */
export function beginUpstreamTrace({ topic, jobId }) {
  const exporter = new OTLPTraceExporter({ timeoutMillis: exportTimeoutMs });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'sample-upstream' }),
    spanProcessors: [new SimpleSpanProcessor({ exporter })],
  });
  const span = provider.getTracer('sample-upstream').startSpan(`send ${topic}`, {
    kind: SpanKind.PRODUCER,
    attributes: {
      'messaging.system': 'kafka',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': topic,
      'job.id': jobId,
      'tenant.id': 'default',
    },
  });
  const { traceId, spanId } = span.spanContext();
  return {
    traceId,
    traceparent: `00-${traceId}-${spanId}-01`,
    end: async () => {
      span.end();
      await provider.shutdown().catch(() => undefined);
    },
  };
}
