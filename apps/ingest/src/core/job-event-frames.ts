import { assertNever, type JobId, type JobView } from '@millrace/contracts';

import type { LiveChange, LiveText, TextPlace } from './live-text.ts';
import { sseFrame, sseRetry } from './sse-frame.ts';

/** Milliseconds after which a client connects again. */
const retryMs = 2_000;

/** The id of an event of `GET /v1/jobs/{id}/events`: where a client that comes back goes on. */
export function eventId(job: JobId, place: TextPlace): string {
  return `${job}:${place.turn}.${place.attempt}.${place.end}`;
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

/** The text so far, for a client that comes late. */
export function snapshotFrame(job: JobId, live: LiveText): string {
  const id = eventId(job, { ...live, end: live.text.length });
  return sseFrame({ event: 'snapshot', id, data: { text: live.text } });
}

export function changeFrame(job: JobId, change: LiveChange): string {
  switch (change.kind) {
    case 'restarted': {
      const id = eventId(job, { ...change, end: 0 });
      return sseFrame({ event: 'stream.restarted', id, data: { attempt: change.attempt } });
    }
    case 'added': {
      const id = eventId(job, change);
      return sseFrame({ event: 'delta', id, data: { text: change.text } });
    }
    default:
      return assertNever(change);
  }
}

export function runningFrame(view: JobView): string {
  return sseFrame({ event: 'job.running', data: { job_id: view.id, status: 'running' } });
}

export function endFrame(view: JobView): string {
  return sseFrame({ event: `job.${view.status}`, id: endEventId(view.id), data: view });
}
