import {
  assertNever,
  type JobId,
  type JobStatusChanged,
  type JobStep,
  type JobView,
} from '@millrace/contracts';

import type { RunChange, StreamPlace } from './live-run.ts';
import type { LiveText } from './live-text.ts';
import { sseFrame, sseRetry } from './sse-frame.ts';

/** Milliseconds after which a client connects again. */
const retryMs = 2_000;

/**
 * The id of an event of `GET /v1/jobs/{id}/events`: where a client that comes back goes on. Turn,
 * attempt and offset of the text, all 0 before there is any; after a `~` the last step, if any was
 * told, by its place in the topic, which is the same for every replica.
 */
export function eventId(job: JobId, { step, text }: StreamPlace): string {
  const { turn, attempt, end } = text ?? { turn: 0, attempt: 0, end: 0 };
  return `${job}:${turn}.${attempt}.${end}${step === undefined ? '' : `~${step}`}`;
}

/** The id of the last event. A client that has it has everything. */
export function endEventId(job: JobId): string {
  return `${job}:end`;
}

/** First frames of every stream. The event has data: an empty one would be no event at all. */
export function openedFrames(view: JobView): string {
  const data = { job_id: view.id, status: view.status };
  return sseRetry(retryMs) + sseFrame({ event: 'stream.opened', data });
}

/** The text of a turn so far, for a client that comes late. */
export function snapshotFrame(view: JobView, live: LiveText, at: StreamPlace): string {
  const data = { text: live.text, ...turnOf(view, live) };
  return sseFrame({ event: 'snapshot', id: eventId(view.id, at), data });
}

export function changeFrame(view: JobView, change: RunChange, at: StreamPlace): string {
  const id = eventId(view.id, at);
  switch (change.kind) {
    case 'restarted': {
      const data = { attempt: change.attempt, ...turnOf(view, change) };
      return sseFrame({ event: 'stream.restarted', id, data });
    }
    case 'turn':
      return sseFrame({ event: 'turn.started', id, data: { turn: change.turn } });
    case 'added': {
      const data = { text: change.text, ...turnOf(view, change) };
      return sseFrame({ event: 'delta', id, data });
    }
    case 'step':
      return sseFrame({ event: 'step', id, data: stepData(change.step) });
    default:
      return assertNever(change);
  }
}

export function runningFrame(view: JobView): string {
  return statusFrame(view, 'running');
}

export function statusFrame(view: JobView, status: JobStatusChanged['status']): string {
  return sseFrame({ event: `job.${status}`, data: { job_id: view.id, status } });
}

export function endFrame(view: JobView): string {
  return sseFrame({ event: `job.${view.status}`, id: endEventId(view.id), data: view });
}

/** A message has one turn, which nobody has to be told. */
function turnOf({ type }: JobView, { turn }: { readonly turn: number }): { turn?: number } {
  return type === 'message' ? {} : { turn };
}

function stepData({ at, index, step, version, workflow_id }: JobStep): object {
  return { ...step, workflow_id, version, index, at };
}
