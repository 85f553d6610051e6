import {
  jobDayOf,
  traceHeaders,
  type ClaudeCompleted,
  type DocumentSplit,
  type ToolCompleted,
  type ToolDescribed,
  type WorkflowApprovalDecided,
  type WorkflowBudgetRaised,
  type WorkflowCancelRequested,
  type WorkflowChildFinished,
  type WorkflowRequested,
  type WorkflowSignalled,
} from '@millrace/contracts';
import type { EventRecord } from '@millrace/kafka';
import { names } from '@millrace/runtime';
import { trace, type Context } from '@opentelemetry/api';

import type { WorkflowHead } from './core/journal-entry.ts';
import { costMicros, priceOf, type Price } from './core/prices.ts';
import type { ToolTokens } from './core/tool-token.ts';
import type { WorkflowEvent } from './core/workflow.ts';
import type { ForkSource } from './fork-source.ts';
import type { Arrival, WorkflowName } from './ports.ts';
import type { StoredBodies } from './stored-bodies.ts';

interface RecordOf<Type extends string, Data> extends EventRecord<Data> {
  readonly type: Type;
}

/** What comes by `workflows.requested.v1`. */
export type RequestRecord =
  | RecordOf<'millrace.workflow.requested.v1', WorkflowRequested>
  | RecordOf<'millrace.workflow.cancel-requested.v1', WorkflowCancelRequested>
  | RecordOf<'millrace.workflow.signalled.v1', WorkflowSignalled>
  | RecordOf<'millrace.workflow.approval-decided.v1', WorkflowApprovalDecided>
  | RecordOf<'millrace.workflow.budget-raised.v1', WorkflowBudgetRaised>
  | RecordOf<'millrace.workflow.child-finished.v1', WorkflowChildFinished>;

/** What comes by `tools.completed.v1`. */
export type ToolRecord =
  | RecordOf<'millrace.tool.completed.v1', ToolCompleted>
  | RecordOf<'millrace.tool.described.v1', ToolDescribed>
  | RecordOf<'millrace.document.split.v1', DocumentSplit>;

export interface ArrivalParts {
  readonly bodies: StoredBodies;
  readonly forks: ForkSource;
  readonly tokens: ToolTokens;
  readonly prices: readonly Price[];
}

/** Attributes that every span of a workflow's event has. */
function nameSpan(context: Context, { id, tenant }: WorkflowName): void {
  trace.getSpan(context)?.setAttributes({
    [names.attribute.tenantId]: tenant,
    [names.attribute.workflowId]: id,
    // A sub-agent is named after the job that it works for.
    [names.attribute.jobId]: id.split('/', 1)[0] ?? id,
  });
}

/**
 * Turns records into events of workflows. An event's id says what happened, not which record told
 * it: whoever tells it again, it is known.
 */
export class WorkflowArrivals {
  constructor(private readonly parts: ArrivalParts) {}

  async ofRequest(record: RequestRecord): Promise<Arrival> {
    switch (record.type) {
      case 'millrace.workflow.requested.v1':
        return this.ofStart(record);
      case 'millrace.workflow.cancel-requested.v1': {
        const { data } = record;
        const name = nameOf(data.tenant, data.job_id, data.reply.created_at);
        const event = { eventId: 'cancel', type: 'cancel_requested' } as const;
        return arrival(record, name, { event, head: data });
      }
      default:
        return arrival(record, namedBy(record.data), { event: toldEvent(record) });
    }
  }

  async ofCompletion(record: EventRecord<ClaudeCompleted>): Promise<Arrival> {
    const { data } = record;
    const stored = {
      eventId: `${shortOf(data.call_id)}:completed`,
      type: 'call_completed',
      data,
      costMicros: this.costOf(data),
    } as const;
    const event = await this.parts.bodies.whole(data.tenant, stored);
    return arrival(record, namedBy(data), { event, stored });
  }

  /** Null: its token was not made for this call. */
  ofTool(record: ToolRecord): Arrival | null {
    const { call_id: callId, token, workflow_id: workflowId } = record.data;
    const owner = this.parts.tokens.read(token, { workflowId, callId });
    if (owner === null) return null;
    const name = { tenant: owner.tenant, id: workflowId, day: owner.day };
    const eventId = `${shortOf(callId)}:${owner.attempt}:completed`;
    return arrival(record, name, { event: toolEvent(record, eventId) });
  }

  /** An event that was kept beside its workflow. */
  async ofParked(workflow: WorkflowName, stored: WorkflowEvent, context: Context) {
    const event = await this.parts.bodies.whole(workflow.tenant, stored);
    const head = stored.type === 'requested' ? headOf(stored.data) : null;
    return { workflow, event, stored, head, unparks: true, context, byOutbox: true };
  }

  private async ofStart(record: RecordOf<string, WorkflowRequested>): Promise<Arrival> {
    const { data } = record;
    const name = nameOf(data.tenant, data.job_id, data.reply.created_at);
    const source = await this.parts.forks.load(data);
    const stored = {
      eventId: 'requested',
      type: 'requested',
      data,
      ...source,
    } as const;
    const event = await this.parts.bodies.whole(data.tenant, stored);
    return arrival(record, name, { event, stored, head: headOf(data) });
  }

  private costOf({ finished_at, model, usage }: ClaudeCompleted): number {
    if (model === undefined || usage === undefined) return 0;
    const price = priceOf(this.parts.prices, model, new Date(finished_at));
    return price === undefined ? 0 : costMicros(price, usage);
  }
}

interface ArrivalFacts {
  readonly event: WorkflowEvent;
  readonly stored?: WorkflowEvent;
  readonly head?: WorkflowHead;
}

function arrival(
  record: Pick<EventRecord<unknown>, 'context' | 'headers'>,
  workflow: WorkflowName,
  { event, head, stored }: ArrivalFacts,
): Arrival {
  nameSpan(record.context, workflow);
  // A tenant's own worker may carry no trace: the workflow's own goes on then.
  const isTraced = record.headers[traceHeaders.parent] !== undefined;
  return {
    workflow,
    event,
    stored: stored ?? event,
    head: head ?? null,
    unparks: false,
    context: isTraced ? record.context : null,
    byOutbox: false,
  };
}

function toldEvent(
  record: Exclude<
    RequestRecord,
    { type: 'millrace.workflow.requested.v1' | 'millrace.workflow.cancel-requested.v1' }
  >,
): WorkflowEvent {
  switch (record.type) {
    case 'millrace.workflow.signalled.v1': {
      const { data } = record;
      const eventId = `signal:${data.name}:${data.signal_id}`;
      return { eventId, type: 'signalled', data };
    }
    case 'millrace.workflow.approval-decided.v1': {
      const { data } = record;
      return { eventId: `approval:${data.approval_id}`, type: 'approval_decided', data };
    }
    case 'millrace.workflow.budget-raised.v1': {
      const { data } = record;
      return { eventId: `budget:${data.raise_id}`, type: 'budget_raised', data };
    }
    default: {
      const { data } = record;
      return { eventId: `child:${shortOf(data.child_id)}`, type: 'child_finished', data };
    }
  }
}

function toolEvent(record: ToolRecord, eventId: string): WorkflowEvent {
  switch (record.type) {
    case 'millrace.tool.completed.v1':
      return { eventId, type: 'tool_completed', data: record.data };
    case 'millrace.tool.described.v1':
      return { eventId, type: 'tools_described', data: record.data };
    default:
      return { eventId, type: 'document_split', data: record.data };
  }
}

function headOf({ params: _, params_ref: _ref, fork, ...head }: WorkflowRequested): WorkflowHead {
  if (fork === undefined) return head;
  // It is said once, and every event reads the head.
  const { prompt: _prompt, ...from } = fork;
  return { ...head, fork: from };
}

/** A call's or sub-agent's number within its workflow, as `m3`. */
function shortOf(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}

function nameOf(tenant: string, id: string, createdAt: string): WorkflowName {
  return { tenant, id, day: jobDayOf(createdAt) };
}

function namedBy(data: {
  readonly tenant: string;
  readonly workflow_id: string;
  readonly created_at: string;
}): WorkflowName {
  return nameOf(data.tenant, data.workflow_id, data.created_at);
}
