import type { Usage } from '@millrace/contracts';
import {
  extractTrace,
  type Histogram,
  type Logger,
  type Metrics,
  names,
  slowBucketsSeconds,
  startSpan,
} from '@millrace/runtime';
import { type Context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

import { type Call, type CallParams, jobIdOf } from './core/call.ts';
import { type ClaudeMessage, modelOf, usageOf } from './core/claude-message.ts';
import type { ClosedAttempt, Settlement } from './core/settle-call.ts';

const { attribute, event, metric, value } = names;

/** Models that get a label of their own: the name comes from users, and labels are for ever. */
const modelLabelsMax = 50;
const queue = 'calls';
const tokenBuckets = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];

/** One attempt as it is traced and timed. */
export interface TracedAttempt {
  readonly call: Call;
  readonly span: Span;
  /** Of the attempt's span: what it causes hangs below it. */
  readonly context: Context;
  model: string;
  firstTokenMs: number | null;
}

/** What an attempt's end tells. */
export interface AttemptEnd {
  readonly settlement: Settlement;
  /** Null when nothing was sent. */
  readonly attempt: ClosedAttempt | null;
  readonly message: ClaudeMessage | null;
  /** From the send to the end of the answer. */
  readonly durationMs: number | null;
}

/** Spans, metrics and the one log line of each attempt. */
export class CallTelemetry {
  readonly #log: Logger;
  readonly #duration: Histogram;
  readonly #firstToken: Histogram;
  readonly #tokens: Histogram;
  readonly #work: Histogram;
  readonly #modelLabels = new Set<string>();

  constructor(
    private readonly options: { readonly log: Logger; readonly metrics: Metrics },
  ) {
    const { metrics } = options;
    this.#log = options.log;
    this.#duration = metrics.histogram(metric.claudeDuration, {
      help: 'Seconds of one call to Claude, from the send to the end of the answer.',
      labels: ['model', 'outcome'],
      buckets: slowBucketsSeconds,
    });
    this.#firstToken = metrics.histogram(metric.claudeFirstToken, {
      help: 'Seconds from the send to the first text of a stream.',
      labels: ['model'],
      buckets: slowBucketsSeconds,
    });
    this.#tokens = metrics.histogram(metric.claudeTokens, {
      help: 'Tokens of one answer.',
      labels: ['model', 'token_type'],
      buckets: tokenBuckets,
    });
    this.#work = metrics.histogram(metric.workDuration, {
      help: 'Seconds from a row that came in to its end: the wait in the queue and all attempts.',
      labels: ['queue', 'outcome'],
      buckets: slowBucketsSeconds,
    });
  }

  /** The `process` span of the request, also after a restart. */
  parentOf(call: Call): Context {
    return extractTrace({
      traceparent: call.traceparent ?? undefined,
      tracestate: call.tracestate ?? undefined,
    });
  }

  begin(call: Call): TracedAttempt {
    const parent = this.parentOf(call);
    const span = startSpan(value.chat, () => ({ kind: SpanKind.CLIENT }), parent);
    const context = trace.setSpan(parent, span);
    return { call, span, context, model: 'unknown', firstTokenMs: null };
  }

  /** The parameters are known: the span gets its name. */
  describe(attempt: TracedAttempt, params: CallParams): void {
    const { call, span } = attempt;
    attempt.model = typeof params['model'] === 'string' ? params['model'] : 'unknown';
    if (!span.isRecording()) return;
    const maxTokens = params['max_tokens'];
    span.updateName(names.span.chat(attempt.model));
    span.setAttributes({
      [attribute.genAiProvider]: value.anthropic,
      [attribute.genAiOperation]: value.chat,
      [attribute.genAiRequestModel]: attempt.model,
      ...(typeof maxTokens === 'number' ? { [attribute.genAiRequestMaxTokens]: maxTokens } : {}),
      [attribute.jobId]: jobIdOf(call),
      [attribute.tenantId]: call.tenant,
      [attribute.attempt]: call.attempt,
      ...(call.session === null ? {} : { [attribute.sessionId]: call.session.sessionId }),
    });
  }

  end(traced: TracedAttempt, end: AttemptEnd): void {
    const { attempt, message } = end;
    if (attempt !== null) this.#measure(traced, end, attempt);
    if (traced.span.isRecording()) describeAnswer(traced.span, attempt, message);
    traced.span.end();
    const retried = end.settlement.kind === 'again' || end.settlement.kind === 'unsent';
    const line = logLine(traced, end);
    if (retried) this.#log.warn({ event: event.callRetried, ...line }, 'the call waits again');
    else this.#log.info({ event: event.callSettled, ...line }, 'the call has ended');
  }

  /** The call's end is committed. */
  ended(call: Call, outcome: string, endedAtMs: number): void {
    const seconds = Math.max(0, endedAtMs - call.createdAtMs) / 1_000;
    this.#work.observe({ queue, outcome }, seconds);
  }

  /** The end of an attempt that had become another process's meanwhile. */
  lost(call: Call, context: Context): void {
    const fields = { context, ...identityOf(call), attempt: call.attempt };
    this.#log.warn(fields, 'the attempt was no longer ours; only its usage was noted');
  }

  #measure(traced: TracedAttempt, end: AttemptEnd, attempt: ClosedAttempt): void {
    const model = this.#modelLabel(traced.model);
    const { durationMs, message } = end;
    const { outcome } = attempt;
    this.options.metrics
      .counter(metric.claudeAttempts, {
        help: 'Attempts by what came of them.',
        labels: ['model', 'outcome'],
      })
      .inc({ model, outcome });
    if (durationMs !== null) this.#duration.observe({ model, outcome }, durationMs / 1_000);
    if (traced.firstTokenMs !== null) {
      this.#firstToken.observe({ model }, traced.firstTokenMs / 1_000);
    }
    const usage = message === null ? undefined : usageOf(message);
    if (usage === undefined) return;
    this.#tokens.observe({ model, token_type: value.inputTokens }, promptTokens(usage));
    this.#tokens.observe({ model, token_type: value.outputTokens }, usage.output_tokens);
  }

  #modelLabel(model: string): string {
    if (this.#modelLabels.has(model)) return model;
    if (this.#modelLabels.size >= modelLabelsMax) return 'other';
    this.#modelLabels.add(model);
    return model;
  }
}

/** The prompt's size: `input_tokens` is the uncached rest. */
function promptTokens(usage: Usage): number {
  const { cache_creation_input_tokens: written, cache_read_input_tokens: read } = usage;
  return usage.input_tokens + (written ?? 0) + (read ?? 0);
}

function describeAnswer(
  span: Span,
  attempt: ClosedAttempt | null,
  message: ClaudeMessage | null,
): void {
  if (attempt !== null && attempt.outcome !== 'succeeded') {
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.setAttribute(attribute.errorType, attempt.code ?? attempt.outcome);
  }
  const status = attempt?.source.httpStatus ?? null;
  if (status !== null) span.setAttribute(attribute.httpStatus, status);
  if (attempt?.source.standIn === true) span.setAttribute(attribute.standIn, true);
  if (message === null) return;
  const usage = usageOf(message);
  span.setAttributes({
    ...(typeof message['id'] === 'string' ? { [attribute.genAiResponseId]: message['id'] } : {}),
    [attribute.genAiResponseModel]: modelOf(message) ?? 'unknown',
    [attribute.genAiFinishReasons]: [message.stop_reason ?? 'none'],
  });
  if (usage === undefined) return;
  span.setAttributes({
    [attribute.genAiInputTokens]: promptTokens(usage),
    [attribute.genAiOutputTokens]: usage.output_tokens,
    [attribute.genAiCacheReadTokens]: usage.cache_read_input_tokens ?? 0,
    [attribute.genAiCacheCreationTokens]: usage.cache_creation_input_tokens ?? 0,
  });
}

/** A message job's call has the job's id. */
function identityOf(call: Call): Record<string, unknown> {
  const { callId, reply, tenant } = call;
  const ids = { job_id: jobIdOf(call), tenant };
  return reply.kind === 'workflow' ? { ...ids, call_id: callId } : ids;
}

function logLine(traced: TracedAttempt, end: AttemptEnd): Record<string, unknown> {
  const { call, context, model } = traced;
  const { attempt, durationMs, settlement } = end;
  return {
    context,
    ...identityOf(call),
    model,
    attempt: call.attempt,
    failures: call.failures,
    settlement: settlement.kind,
    ...(attempt === null
      ? {}
      : {
          outcome: attempt.outcome,
          code: attempt.code,
          http_status: attempt.source.httpStatus,
          request_id: attempt.source.requestId,
        }),
    ...('delayMs' in settlement ? { retry_in_ms: settlement.delayMs } : {}),
    ...(durationMs === null ? {} : { duration_ms: Math.round(durationMs) }),
  };
}
