import { extractTrace, injectTrace, names, startSpan } from '@millrace/runtime';
import type { Counter, Histogram, Logger, Metrics } from '@millrace/runtime';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { LRUCache } from 'lru-cache';

import { attemptNumber, type Execution } from './core/execution.ts';
import type { Outcome, ToolResult } from './core/outcome.ts';
import { parseToolName } from './core/tool-name.ts';

/**
 * One attempt as an operator sees it: a span, a log line, two metrics. Never arguments or results.
 */
export interface AttemptSpan {
  /** What the tool is handed on. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  end(outcome: Outcome, result: ToolResult): void;
  /** A bug of ours. */
  crashed(error: unknown): void;
}

/** How a tool is reached, as metrics and logs say it. */
export type ExecutionLabel = 'http' | 'mcp' | 'describe' | 'split';

/** A tool may take an hour. */
const attemptBucketsSeconds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600,
];

export class ExecutionTelemetry {
  private readonly attempts: Counter;
  private readonly duration: Histogram;
  private readonly toldUnknown = new LRUCache<string, true>({ max: 1_000, ttl: 60_000 });

  constructor(
    private readonly log: Logger,
    metrics: Metrics,
  ) {
    this.attempts = metrics.counter(names.metric.toolAttempts, {
      help: 'Attempts of tool calls by what they came to.',
      labels: ['kind', 'outcome'],
    });
    this.duration = metrics.histogram(names.metric.toolDuration, {
      help: 'Seconds from the start of an attempt of a tool call to its end.',
      labels: ['kind', 'outcome'],
      buckets: attemptBucketsSeconds,
    });
  }

  start(execution: Execution): AttemptSpan {
    const label = labelOf(execution);
    const startedAtMs = performance.now();
    const parent = extractTrace(execution.traceHeaders);
    const span = startSpan(
      spanName(execution),
      () => ({ kind: SpanKind.INTERNAL, attributes: attributesOf(execution, label) }),
      parent,
    );
    const context = trace.setSpan(parent, span);
    return {
      traceHeaders: injectTrace(context),
      end: (outcome, result) => {
        const ms = performance.now() - startedAtMs;
        endSpan(span, result);
        this.record({ execution, label, outcome, result, context, ms });
      },
      crashed: (error) => {
        span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
        this.log.error({ ...idsOf(execution), context, error }, 'a tool call crashed here');
      },
    };
  }

  /** One line a tenant and minute: its calls come back every second. */
  secretsMissing(execution: Execution, error?: unknown): void {
    const { tenant } = execution;
    if (this.toldUnknown.has(tenant)) return;
    this.toldUnknown.set(tenant, true);
    const line = { ...idsOf(execution), error };
    this.log.warn(line, 'tool calls wait for the secrets of their tenant');
  }

  private record(attempt: {
    execution: Execution;
    label: ExecutionLabel;
    outcome: Outcome;
    result: ToolResult;
    context: Context;
    ms: number;
  }): void {
    const { context, execution, label, ms, outcome, result } = attempt;
    const told = outcomeLabel(outcome, result);
    this.attempts.inc({ kind: label, outcome: told });
    this.duration.observe({ kind: label, outcome: told }, ms / 1_000);
    const line = {
      ...idsOf(execution),
      context,
      kind: label,
      tool: toolOf(execution),
      attempt: attemptNumber(execution),
      outcome: told,
      ...(result.kind === 'failure' ? { code: result.failure.code, class: result.class } : {}),
      ...('afterMs' in outcome ? { retry_in_ms: Math.round(outcome.afterMs) } : {}),
      total_ms: Math.round(ms * 10) / 10,
    };
    if (outcome.kind === 'ended') {
      this.log.info({ ...line, event: names.event.toolEnded }, 'a tool call has ended');
    } else this.log.warn({ ...line, event: names.event.toolRetried }, 'a tool call comes again');
  }
}

function labelOf({ request }: Execution): ExecutionLabel {
  if (request.kind !== 'run') return request.kind;
  return parseToolName(request.data.tool).inner === null ? 'http' : 'mcp';
}

function outcomeLabel(outcome: Outcome, result: ToolResult): string {
  if (outcome.kind !== 'ended') return outcome.kind;
  return result.kind === 'output' ? 'succeeded' : 'failed';
}

function idsOf({ callId, request, tenant }: Execution): Record<string, string> {
  return { call_id: callId, job_id: request.data.job_id, tenant };
}

function toolOf({ request }: Execution): string | undefined {
  return request.kind === 'run' ? request.data.tool : undefined;
}

function spanName(execution: Execution): string {
  return names.span.executeTool(toolOf(execution) ?? execution.request.kind);
}

function attributesOf(execution: Execution, label: ExecutionLabel): Attributes {
  const { callId, request, tenant } = execution;
  const tool = toolOf(execution);
  return {
    [names.attribute.genAiOperation]: names.value.executeTool,
    [names.attribute.genAiToolCallId]: callId,
    [names.attribute.genAiToolType]: label === 'mcp' ? 'extension' : 'function',
    ...(tool === undefined ? {} : { [names.attribute.genAiToolName]: tool }),
    [names.attribute.jobId]: request.data.job_id,
    [names.attribute.tenantId]: tenant,
    [names.attribute.attempt]: attemptNumber(execution),
  };
}

function endSpan(span: Span, result: ToolResult): void {
  if ('status' in result && result.status !== undefined) {
    span.setAttribute(names.attribute.httpStatus, result.status);
  }
  if (result.kind === 'failure') {
    span.setAttribute(names.attribute.errorType, result.class);
    span.setAttribute(names.attribute.errorCode, result.failure.code);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}
