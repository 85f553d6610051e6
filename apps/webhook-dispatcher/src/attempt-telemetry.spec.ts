import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, Metrics } from '@millrace/runtime';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';

import { AttemptTelemetry } from './attempt-telemetry.ts';
import type { WholeDelivery } from './core/delivery.ts';
import { healthyLane } from './core/lane.ts';
import type { Attempt, Outcome } from './core/outcome.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const delivery: WholeDelivery = {
  id: 'msg_1',
  webhookId: 'msg_1',
  endpoint: null,
  eventType: 'millrace.job.succeeded.v1',
  day: '2026-11-23',
  tenant: 'default',
  jobId: 'job-1',
  url: 'https://example.com/hook?token=hush',
  origin: 'https://example.com',
  body: Buffer.from('{"result":"hush"}'),
  traceHeaders: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  attemptsMade: 1,
  createdAtMs: 0,
  source: { topic: 'jobs.finished.v1', partition: 0, offset: '7' },
  owner: 'process',
  sight: healthyLane,
};
const delivered: Attempt = {
  class: null,
  status: 200,
  bodyExcerpt: Buffer.from('hush'),
  timings: { totalMs: 12, firstByteMs: 11 },
};
const refused: Attempt = { ...delivered, class: 'server_error', status: 500 };

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
const lines: string[] = [];
let metrics: Metrics;
let telemetry: AttemptTelemetry;

beforeAll(() => void trace.setGlobalTracerProvider(provider));
afterAll(() => trace.disable());
beforeEach(() => {
  exporter.reset();
  lines.length = 0;
  metrics = new Metrics();
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ service: 'webhook-dispatcher', level: 'info', destination });
  telemetry = new AttemptTelemetry(log, metrics);
});

function attempt(outcome: Outcome): string {
  const span = telemetry.start(delivery);
  span.end(outcome);
  return span.traceHeaders['traceparent'] ?? '';
}

describe('the telemetry of an attempt', () => {
  it('is a CLIENT span under the one that took the event in, handed on to the receiver', () => {
    const traceparent = attempt({ kind: 'delivered', disables: false, attempt: delivered });
    const [span] = exporter.getFinishedSpans();
    expect(span).toMatchObject({
      name: 'POST',
      kind: SpanKind.CLIENT,
      parentSpanContext: { traceId, spanId: 'b7ad6b7169203331' },
      attributes: {
        'http.request.method': 'POST',
        'http.response.status_code': 200,
        'http.request.resend_count': 1,
        'url.full': 'https://example.com/hook?REDACTED',
        'server.address': 'example.com',
        'server.port': 443,
        'job.id': 'job-1',
        'tenant.id': 'default',
      },
    });
    expect(traceparent).toBe(`00-${traceId}-${span?.spanContext().spanId}-01`);
  });

  it('marks a failure', () => {
    attempt({ kind: 'retry', afterMs: 5_000, attempt: refused });
    expect(exporter.getFinishedSpans()[0]).toMatchObject({
      attributes: { 'error.type': '500' },
      status: { code: SpanStatusCode.ERROR },
    });
  });

  it('is one line with ids and without secrets or payloads', () => {
    attempt({ kind: 'retry', afterMs: 5_000, attempt: refused });
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('hush');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      event: 'webhook.failed',
      trace_id: traceId,
      job_id: 'job-1',
      tenant: 'default',
      delivery: 'msg_1',
      origin: 'https://example.com',
      attempt: 2,
      outcome: 'retry',
      status: 500,
      class: 'server_error',
      retry_in_ms: 5_000,
    });
  });

  it('counts attempts by what they came to', async () => {
    attempt({ kind: 'delivered', disables: false, attempt: delivered });
    attempt({ kind: 'dead', code: 'delivery_exhausted', attempt: refused });
    const text = await metrics.registry.metrics();
    expect(text).toContain('millrace_webhook_attempts_total{outcome="delivered"} 1');
    expect(text).toContain('millrace_webhook_attempts_total{outcome="dead"} 1');
    expect(text).toContain('millrace_webhook_attempt_duration_seconds_count{outcome="dead"} 1');
  });
});
