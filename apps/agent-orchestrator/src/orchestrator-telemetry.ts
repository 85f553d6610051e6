import { isTerminal } from '@millrace/contracts';
import {
  extractTrace,
  names,
  startSpan,
  type Counter,
  type Histogram,
  type Logger,
  type Metrics,
} from '@millrace/runtime';
import { SpanStatusCode, type Context } from '@opentelemetry/api';

import type { FoldedOutcome, HeldWorkflow } from './core/fold.ts';
import { jobIdOf } from './core/outgoing-event.ts';
import type { Arrival, DueTimer, WorkflowBatch } from './ports.ts';

/** What is counted, logged and traced of workflows. */
export class OrchestratorTelemetry {
  private readonly transitions: Counter;
  private readonly lost: Counter;
  private readonly parked: Counter;
  private readonly ended: Counter;
  private readonly timerLag: Histogram;

  constructor(
    private readonly log: Logger,
    metrics: Metrics,
  ) {
    this.transitions = metrics.counter(names.metric.workflowEvents, {
      help: 'Events of workflows by what became of them',
      labels: ['event', 'outcome'],
    });
    this.lost = metrics.counter(names.metric.workflowSwapsLost, {
      help: 'Decisions that another writer was faster than',
    });
    this.parked = metrics.counter(names.metric.workflowsParked, {
      help: 'Workflows that no release here could go on with',
      labels: ['code'],
    });
    this.ended = metrics.counter(names.metric.workflowsEnded, {
      help: 'Workflows by kind and how they ended',
      labels: ['kind', 'status'],
    });
    this.timerLag = metrics.histogram(names.metric.workflowTimerLag, {
      help: 'Seconds from the moment when a timer was due until it was taken',
    });
  }

  swapsLost(count: number): void {
    if (count > 0) this.lost.inc(count);
  }

  timerTaken({ dueAtMs }: DueTimer, nowMs: number): void {
    this.timerLag.observe(Math.max(0, nowMs - dueAtMs) / 1000);
  }

  settled(arrival: Arrival, outcome: FoldedOutcome, next: HeldWorkflow | null): void {
    this.transitions.inc({ event: arrival.event.type, outcome: outcome.kind });
    const { context, event, workflow } = arrival;
    const facts = { tenant: workflow.tenant, workflow_id: workflow.id, event_id: event.eventId };
    const line = { ...facts, ...(context === null ? {} : { context }) };
    switch (outcome.kind) {
      case 'applied':
        if (outcome.ended !== undefined) {
          const { code, thrown } = outcome.ended;
          this.log.error({ ...line, code, error: thrown }, 'a parked workflow was ended as it is');
        }
        if (next !== null && endsWith(outcome)) this.finished(arrival, next);
        return;
      case 'known':
        return;
      case 'ignored':
        this.log.debug({ ...line, why: outcome.why }, 'an event changes nothing');
        return;
      case 'unknown':
        this.log.warn(line, 'an event of a workflow that is not known was dropped');
        return;
      case 'parked':
        this.parked.inc({ code: outcome.code });
        this.log.error(
          { ...line, event: names.event.workflowParked, code: outcome.code, error: outcome.thrown },
          'a workflow is parked, as it cannot go on here',
        );
        return;
      default:
    }
  }

  refused({ workflow }: WorkflowBatch, error: unknown): void {
    this.parked.inc({ code: 'bad_row' });
    const { id, tenant } = workflow;
    const line = { event: names.event.workflowParked, tenant, workflow_id: id, code: 'bad_row' };
    this.log.error({ ...line, error }, 'a workflow is parked, as the database refused it');
  }

  private finished(arrival: Arrival, { head, kind, status, version }: HeldWorkflow): void {
    const job_id = jobIdOf(head);
    this.ended.inc({ kind, status });
    this.log.info(
      {
        ...(arrival.context === null ? {} : { context: arrival.context }),
        event: names.event.workflowFinished,
        job_id,
        tenant: head.tenant,
        workflow_id: head.job_id,
        kind,
        status,
        version,
        duration_ms: Date.now() - Date.parse(head.reply.created_at),
      },
      'a workflow ended',
    );
    this.tellSpan(arrival.context ?? extractTrace({}), { head, kind, status });
  }

  /** The whole run as one span, beside the spans of its steps. */
  private tellSpan(
    parent: Context,
    { head, kind, status }: Pick<HeldWorkflow, 'head' | 'kind' | 'status'>,
  ): void {
    const span = startSpan(
      names.span.invokeAgent(kind),
      () => ({
        startTime: Date.parse(head.reply.created_at),
        attributes: {
          [names.attribute.genAiOperation]: names.value.invokeAgent,
          [names.attribute.jobId]: jobIdOf(head),
          [names.attribute.tenantId]: head.tenant,
          [names.attribute.workflowId]: head.job_id,
          [names.attribute.jobType]: head.type,
          [names.attribute.jobStatus]: status,
        },
      }),
      parent,
    );
    if (status === 'failed') span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }
}

function endsWith(outcome: Extract<FoldedOutcome, { kind: 'applied' }>): boolean {
  return outcome.entry.commands.some(
    (command) => command.kind === 'finish' && isTerminal(command.end.status),
  );
}
