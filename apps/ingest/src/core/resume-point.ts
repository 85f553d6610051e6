import type { JobId } from '@millrace/contracts';

import { endEventId } from './job-event-frames.ts';
import type { StreamPlace } from './live-run.ts';

/** Where a client of `GET /v1/jobs/{id}/events` goes on. */
export type ResumePoint =
  | { readonly kind: 'beginning' }
  | { readonly kind: 'after'; readonly place: StreamPlace }
  | { readonly kind: 'end' }
  | { readonly kind: 'malformed' };

/**
 * Turn, attempt and end as `eventId` writes them, and the step: no signs, no leading zeros, no
 * overflow. Without any text there is a step.
 */
const placeForm =
  /^(?:([1-9]\d{0,8})\.([1-9]\d{0,8})\.(0|[1-9]\d{0,8})|0\.0\.0(?=~))(?:~(0|[1-9]\d{0,14}))?$/;

/** Reads the id of the last event that a client had; absent and empty are the beginning. */
export function parseResumePoint(job: JobId, id: string | undefined): ResumePoint {
  if (id === undefined || id === '') return { kind: 'beginning' };
  if (id === endEventId(job)) return { kind: 'end' };
  const match = id.startsWith(`${job}:`) ? placeForm.exec(id.slice(job.length + 1)) : null;
  if (match === null) return { kind: 'malformed' };
  const [, turn, attempt, end, step] = match;
  const text =
    turn === undefined
      ? undefined
      : { turn: Number(turn), attempt: Number(attempt), end: Number(end) };
  return { kind: 'after', place: { text, step: step === undefined ? undefined : Number(step) } };
}
