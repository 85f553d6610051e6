import { assertNever, type Timeline, type TimelineEvent } from '@millrace/contracts';

import { fields, table } from './table.ts';

/** What happened to a job as a person reads it: one line for each event. */
export function timelineText(timeline: Timeline): string {
  const { events, incomplete, limit_reached, spent, truncated } = timeline;
  const head = fields({
    job: timeline.job_id,
    status: timeline.status,
    spent: spent && `$${spent.usd}`,
    'waits for': limit_reached && `a higher limit of ${limit_reached}`,
    trace: timeline.trace_id,
  });
  const lines = table(events, {
    at: ({ at }) => at,
    event: ({ kind }) => kind,
    what: whatOf,
    took: tookOf,
    usd: (event) => ('cost_usd' in event ? event.cost_usd : undefined),
  });
  const missing = [
    ...(truncated ? ['There were more events than are shown.'] : []),
    ...incomplete.map((service) => `${service} could not be asked: what it knows is missing.`),
  ];
  return [head, lines, ...missing].join('\n\n');
}

function whatOf(event: TimelineEvent): string | undefined {
  switch (event.kind) {
    case 'accepted':
      return `by ${event.via}`;
    case 'released':
    case 'cancel_requested':
      return undefined;
    case 'running':
      return `attempt ${event.attempt}`;
    case 'attempt': {
      const { code, http_status, number, outcome } = event.attempt;
      return said(number, outcome, code, http_status);
    }
    case 'ended':
      return said(event.status, event.error?.code, event.error?.detail);
    case 'delivery_attempt': {
      const { class: why, http_status, number, outcome } = event.attempt;
      const next = event.next_attempt_at && `again at ${event.next_attempt_at}`;
      return said(number, outcome, why, http_status, next);
    }
    case 'redriven':
      return `as ${event.job_id}`;
    case 'describe_tools':
    case 'split':
    case 'model_call':
    case 'approval':
    case 'tool_call':
    case 'child':
    case 'signal':
    case 'budget_raised': {
      const failed = event.is_error === true ? 'told as an error' : undefined;
      const underWay = event.under_way === true ? 'under way' : undefined;
      return said(event.step, event.name ?? event.model, event.error?.code ?? failed, underWay);
    }
    default:
      return assertNever(event);
  }
}

function said(...parts: readonly (string | number | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(' ');
}

/** Of what has a length; what is under way has none yet. */
function tookOf(event: TimelineEvent): string | undefined {
  if (event.kind === 'attempt' || event.kind === 'delivery_attempt') {
    return lengthOf(event.attempt.started_at, event.attempt.ended_at);
  }
  if (!('started_at' in event) || event.under_way === true) return undefined;
  return lengthOf(event.started_at, event.at);
}

function lengthOf(from: string, to: string): string {
  const ms = Date.parse(to) - Date.parse(from);
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
