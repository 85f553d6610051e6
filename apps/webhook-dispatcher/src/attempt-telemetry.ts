import { extractTrace, injectTrace, names, startSpan } from '@millrace/runtime';
import type { Counter, Histogram, Logger, Metrics } from '@millrace/runtime';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { LRUCache } from 'lru-cache';

import type { Delivery, WholeDelivery } from './core/delivery.ts';
import type { Attempt, Outcome } from './core/outcome.ts';

/** One POST as an operator sees it: a span, a log line, two metrics. */
export interface AttemptSpan {
  /** What the receiver is handed on. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  end(outcome: Outcome): void;
}

/** A POST ends within 15 s, so that the fast bounds, which end at 10 s, need one more. */
const attemptBucketsSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30];

export class AttemptTelemetry {
  private readonly attempts: Counter;
  private readonly duration: Histogram;
  private readonly toldUnknown = new LRUCache<string, true>({ max: 1_000, ttl: 60_000 });

  constructor(
    private readonly log: Logger,
    metrics: Metrics,
  ) {
    this.attempts = metrics.counter(names.metric.webhookAttempts, {
      help: 'Webhook attempts by what they came to.',
      labels: ['outcome'],
    });
    this.duration = metrics.histogram(names.metric.webhookDuration, {
      help: 'Seconds from the start of a webhook attempt to its end.',
      labels: ['outcome'],
      buckets: attemptBucketsSeconds,
    });
  }

  start(delivery: WholeDelivery): AttemptSpan {
    const parent = extractTrace(delivery.traceHeaders);
    const span = startSpan(
      names.span.httpClient('POST'),
      () => ({ kind: SpanKind.CLIENT, attributes: attributesOf(delivery) }),
      parent,
    );
    const context = trace.setSpan(parent, span);
    return {
      traceHeaders: injectTrace(context),
      end: (outcome) => {
        endSpan(span, outcome);
        this.record(delivery, outcome, context);
      },
    };
  }

  secretsUnavailable(delivery: Delivery, error: unknown): void {
    const { id, jobId, tenant } = delivery;
    this.log.warn(
      { delivery: id, job_id: jobId ?? undefined, tenant, error },
      'the secrets of a tenant could not be read; its webhook waits',
    );
  }

  /** One line a tenant and minute: its deliveries come back every second. */
  tenantUnknown(delivery: Delivery): void {
    const { id, jobId, tenant } = delivery;
    if (this.toldUnknown.has(tenant)) return;
    this.toldUnknown.set(tenant, true);
    this.log.warn(
      { delivery: id, job_id: jobId ?? undefined, tenant },
      'webhooks wait for the secrets of their tenant',
    );
  }

  private record(delivery: WholeDelivery, outcome: Outcome, context: Context): void {
    const labels = { outcome: outcome.kind };
    this.attempts.inc(labels);
    const attempt = attemptOf(outcome);
    if (attempt !== null) this.duration.observe(labels, attempt.timings.totalMs / 1_000);
    const line = { ...lineOf(delivery, outcome), context };
    if (outcome.kind === 'delivered') {
      this.log.info({ ...line, event: names.event.webhookDelivered }, 'a webhook was delivered');
    } else {
      this.log.warn({ ...line, event: names.event.webhookFailed }, 'a webhook was not delivered');
    }
  }
}

/** The URL's query may hold a token of the receiver, so it stays out of traces and logs. */
function attributesOf(delivery: Delivery): Attributes {
  const url = URL.parse(delivery.url);
  return {
    [names.attribute.httpMethod]: 'POST',
    ...(delivery.jobId === null ? {} : { [names.attribute.jobId]: delivery.jobId }),
    [names.attribute.tenantId]: delivery.tenant,
    ...(delivery.attemptsMade === 0
      ? {}
      : { [names.attribute.httpResendCount]: delivery.attemptsMade }),
    ...(url === null
      ? {}
      : {
          [names.attribute.urlFull]: `${url.origin}${url.pathname}${url.search && '?REDACTED'}`,
          [names.attribute.serverAddress]: url.hostname,
          [names.attribute.serverPort]: portOf(url),
        }),
  };
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'http:' ? 80 : 443;
}

function attemptOf(outcome: Outcome): Attempt | null {
  return outcome.kind === 'postponed' ? null : outcome.attempt;
}

function endSpan(span: Span, outcome: Outcome): void {
  const attempt = attemptOf(outcome);
  if (attempt !== null && attempt.status !== null) {
    span.setAttribute(names.attribute.httpStatus, attempt.status);
  }
  if (outcome.kind !== 'delivered') {
    // The conventions want the status code as the type of an HTTP error.
    const type = attempt?.status ?? attempt?.class ?? outcome.kind;
    span.setAttribute(names.attribute.errorType, String(type));
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

function lineOf(delivery: WholeDelivery, outcome: Outcome): Record<string, unknown> {
  const attempt = attemptOf(outcome);
  return {
    delivery: delivery.id,
    job_id: delivery.jobId ?? undefined,
    tenant: delivery.tenant,
    origin: delivery.origin,
    attempt: delivery.attemptsMade + 1,
    age_ms: Date.now() - delivery.createdAtMs,
    outcome: outcome.kind,
    ...(outcome.kind === 'dead' ? { code: outcome.code } : {}),
    ...('afterMs' in outcome ? { retry_in_ms: Math.round(outcome.afterMs) } : {}),
    ...(attempt === null
      ? {}
      : {
          status: attempt.status ?? undefined,
          class: attempt.class ?? undefined,
          body_bytes: delivery.body.length,
          connect_ms: rounded(attempt.timings.connectMs),
          first_byte_ms: rounded(attempt.timings.firstByteMs),
          total_ms: rounded(attempt.timings.totalMs),
        }),
  };
}

/** A tenth of a millisecond is as exact as an event loop is. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}
