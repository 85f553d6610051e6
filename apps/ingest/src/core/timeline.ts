import {
  assertNever,
  timelineEventsMax,
  timelineStepKinds,
  type JobDelivery,
  type JobStatus,
  type TimelineEvent,
  type TimelineEventKind,
  type WorkflowStep,
} from '@millrace/contracts';

import { canonicalJson } from './canonical-json.ts';
import type { Outcome } from './job-view.ts';

/** A job as its row tells it, with what was kept of the time between its acceptance and its end. */
export interface JobHistory {
  readonly via: 'http' | 'kafka';
  readonly status: JobStatus;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  /** Until then it waited, if that was later than its acceptance. */
  readonly runAt: Date | null;
  /** It ended as it arrived, and was handed over to nobody. */
  readonly refused: boolean;
  readonly outcome: Outcome | undefined;
  readonly kept: readonly TimelineEvent[];
}

/** Events in order, and whether there were more of them. */
export interface MergedTimeline {
  readonly events: TimelineEvent[];
  readonly truncated: boolean;
}

/** Order of what happened in the same millisecond: as one thing leads to the next. */
const order: Readonly<Record<TimelineEventKind, number>> = {
  accepted: 0,
  released: 1,
  running: 2,
  cancel_requested: 3,
  attempt: 4,
  describe_tools: 5,
  split: 6,
  model_call: 7,
  approval: 8,
  tool_call: 9,
  child: 10,
  signal: 11,
  budget_raised: 12,
  ended: 13,
  delivery_attempt: 14,
  redriven: 15,
};

/** The events that the job's row and what was kept beside it tell. */
export function eventsOfJob(job: JobHistory): TimelineEvent[] {
  const createdAt = job.createdAt.toISOString();
  return [
    { kind: 'accepted', at: createdAt, via: job.via },
    ...(wasReleasedAtOnce(job) ? [{ kind: 'released', at: createdAt } as const] : []),
    ...job.kept,
    ...(job.outcome?.attempts ?? []).map(
      (attempt) => ({ kind: 'attempt', at: attempt.ended_at, attempt }) as const,
    ),
    ...endOf(job),
  ];
}

/** The events that webhook-dispatcher tells. */
export function eventsOfDeliveries(deliveries: readonly JobDelivery[]): TimelineEvent[] {
  return deliveries.flatMap(({ attempts, endpoint, next_attempt_at: next, webhook_id }) => {
    const latest = Math.max(...attempts.map(({ number }) => number));
    return attempts.map((attempt) => ({
      kind: 'delivery_attempt' as const,
      at: attempt.ended_at,
      webhook_id,
      ...(endpoint === undefined ? {} : { endpoint }),
      attempt,
      ...(next !== undefined && attempt.number === latest ? { next_attempt_at: next } : {}),
    }));
  });
}

/** The events that a run's steps are. Its beginning and its cancel are events of the job. */
export function eventsOfSteps(steps: readonly WorkflowStep[]): TimelineEvent[] {
  return steps.flatMap(({ kind, at: started_at, ended_at, ...step }) => {
    const shown = timelineStepKinds.find((each) => each === kind);
    if (shown === undefined) return [];
    const under_way = ended_at === undefined ? true : undefined;
    return [{ ...step, kind: shown, at: ended_at ?? started_at, started_at, under_way }];
  });
}

/**
 * Puts events in order, each once, in whatever order and however often they come: an attempt may
 * be told by its own record and by the job's end. The latest are shown when there are too many.
 */
export function mergeTimeline(events: readonly TimelineEvent[]): MergedTimeline {
  const byCause = new Map<string, TimelineEvent>();
  for (const event of events) {
    const cause = causeOf(event);
    const known = byCause.get(cause);
    if (known === undefined || isBefore(event, known)) byCause.set(cause, event);
  }
  const sorted = [...byCause.values()].sort((a, b) => (isBefore(a, b) ? -1 : 1));
  const truncated = sorted.length > timelineEventsMax;
  return { events: sorted.slice(-timelineEventsMax), truncated };
}

/** What makes two events the same: the id under which one is kept. */
export function causeOf(event: TimelineEvent): string {
  switch (event.kind) {
    case 'accepted':
    case 'released':
    case 'cancel_requested':
    case 'ended':
      return event.kind;
    case 'running':
      return `running:${event.attempt}`;
    case 'attempt':
      return `attempt:${event.attempt.number}`;
    case 'delivery_attempt':
      // Every receiver of an event gets it under the same webhook id.
      return `delivery_attempt:${event.webhook_id}:${event.endpoint ?? ''}:${event.attempt.number}`;
    case 'redriven':
      return `redriven:${event.job_id}`;
    case 'describe_tools':
    case 'model_call':
    case 'tool_call':
    case 'split':
    case 'approval':
    case 'signal':
    case 'budget_raised':
    case 'child':
      return `${event.kind}:${event.workflow_id}:${event.id}`;
    default:
      return assertNever(event);
  }
}

/** A total order, so that what comes in cannot show in what goes out. */
function isBefore(a: TimelineEvent, b: TimelineEvent): boolean {
  const byTime = Date.parse(a.at) - Date.parse(b.at);
  if (byTime !== 0) return byTime < 0;
  if (a.kind !== b.kind) return order[a.kind] < order[b.kind];
  return canonicalJson(a) < canonicalJson(b);
}

/** The release of a job that waited is an event of its own, which is kept. */
function wasReleasedAtOnce({ createdAt, refused, runAt }: JobHistory): boolean {
  return !refused && (runAt === null || runAt.getTime() <= createdAt.getTime());
}

function endOf({ finishedAt, outcome, status }: JobHistory): TimelineEvent[] {
  if (finishedAt === null) return [];
  switch (status) {
    case 'succeeded':
    case 'failed':
    case 'cancelled':
    case 'expired':
      return [
        {
          kind: 'ended',
          at: finishedAt.toISOString(),
          status,
          error: outcome?.error,
          model: outcome?.model,
          usage: outcome?.usage,
        },
      ];
    case 'queued':
    case 'running':
    case 'awaiting_approval':
    case 'awaiting_budget':
    case 'awaiting_signal':
      return [];
    default:
      return assertNever(status);
  }
}
