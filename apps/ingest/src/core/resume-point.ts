import type { JobId } from '@millrace/contracts';

import { endEventId } from './job-event-frames.ts';
import type { TextPlace } from './live-text.ts';

/** Where a client of `GET /v1/jobs/{id}/events` goes on. */
export type ResumePoint =
  | { readonly kind: 'beginning' }
  | { readonly kind: 'after'; readonly place: TextPlace }
  | { readonly kind: 'end' }
  | { readonly kind: 'malformed' };

/** Turn, attempt and end as `eventId` writes them: no signs, no leading zeros, no overflow. */
const placeForm = /^([1-9]\d{0,8})\.([1-9]\d{0,8})\.(0|[1-9]\d{0,8})$/;

/** Reads the id of the last event that a client had; absent and empty are the beginning. */
export function parseResumePoint(job: JobId, id: string | undefined): ResumePoint {
  if (id === undefined || id === '') return { kind: 'beginning' };
  if (id === endEventId(job)) return { kind: 'end' };
  const match = id.startsWith(`${job}:`) ? placeForm.exec(id.slice(job.length + 1)) : null;
  if (match === null) return { kind: 'malformed' };
  const [turn, attempt, end] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return { kind: 'after', place: { turn, attempt, end } };
}
