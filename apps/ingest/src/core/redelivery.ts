import { createHash } from 'node:crypto';

import {
  assertNever,
  redeliveryAgoMsMax,
  type RedeliverySubmission,
} from '@millrace/contracts';
import type { z } from 'zod';

import type { FieldError } from './field-error.ts';
import { hashOf } from './judge-submission.ts';
import { listQuerySchema } from './list-cursor.ts';
import { ProblemError } from './problem.ts';

/** The query of `GET /v1/redeliveries`. */
export const redeliveryQuerySchema = listQuerySchema.pick({ cursor: true, limit: true });
export type RedeliveryQuery = z.infer<typeof redeliveryQuerySchema>;

/** Ends that are to be told again: those in `[since, until)`. */
export interface RedeliveryOrder {
  readonly since: Date;
  readonly until: Date;
  /** Of what was asked: the same times, however they are written, are the same request. */
  readonly requestHash: Buffer;
}

/** @throws ProblemError for times that cannot be told again. */
export function orderRedelivery(asked: RedeliverySubmission, now: Date): RedeliveryOrder {
  const since = new Date(asked.since);
  const until = asked.until === undefined ? null : new Date(asked.until);
  const error = untimelinessOf(since, until, now);
  if (error !== null) {
    throw new ProblemError('invalid_request', `${error.path} ${error.message}`, [error]);
  }
  const times = { since: since.toISOString(), until: until?.toISOString() ?? null };
  return { since, until: until ?? now, requestHash: hashOf(times) };
}

/** Hex digits of a derived id: 128 bits, so that no two keys meet. */
const idDigits = 32;

/** The id under which a key's redelivery is found again. */
export function redeliveryIdOf(idempotencyKey: string): string {
  const digest = createHash('sha256').update(idempotencyKey).digest('hex');
  return `rdl_${digest.slice(0, idDigits)}`;
}

/** A place in the order of jobs: by acceptance, as Postgres writes times; the id breaks ties. */
export interface Place {
  readonly createdAt: string;
  readonly id: string;
}

/**
 * A walk over a tenant's jobs has two legs, each in the order of acceptance. `since`: the jobs that
 * were accepted within the time, in which nearly all that ended in it are. `before`: those that
 * were accepted earlier, of which few ended as late. No index has to know when a job ended.
 */
export type Leg = 'since' | 'before';

/** Before any job. */
const start: Place = { createdAt: '-infinity', id: '' };

/** Jobs of a leg are accepted before this time. */
export function legEnd(leg: Leg, order: Pick<RedeliveryOrder, 'since' | 'until'>): Date {
  switch (leg) {
    case 'since':
      return order.until;
    case 'before':
      return order.since;
    default:
      return assertNever(leg);
  }
}

/** A job that ended within the time, and the bytes that telling of it takes to read. */
export interface FoundEnd extends Place {
  readonly day: string;
  readonly bytes: number;
}

/** What a look at the next jobs of a leg found. */
export interface Look {
  /** In order: all there are up to `lookedTo`, or the first `endsMax` of them. */
  readonly found: readonly FoundEnd[];
  /** The last job that was looked at; null when the leg has no more. */
  readonly lookedTo: Place | null;
}

/** What of a look is told now, and where the next one begins; `next: null` ends the walk. */
export interface WalkStep {
  readonly told: readonly FoundEnd[];
  readonly next: { readonly leg: Leg; readonly after: Place } | null;
}

/** Of one step. A single end above `bytesMax` is told alone. */
export interface StepLimits {
  readonly endsMax: number;
  readonly bytesMax: number;
}

/** Decides how far one step goes: never past an end that it does not tell. */
export function walkStep(leg: Leg, look: Look, limits: StepLimits): WalkStep {
  const told = withinBytes(look.found, limits.bytesMax).slice(0, limits.endsMax);
  const last = told.at(-1);
  const isCut = told.length < look.found.length || told.length === limits.endsMax;
  if (isCut && last !== undefined) {
    return { told, next: { leg, after: { createdAt: last.createdAt, id: last.id } } };
  }
  if (look.lookedTo !== null) return { told, next: { leg, after: look.lookedTo } };
  return { told, next: leg === 'since' ? { leg: 'before', after: start } : null };
}

function withinBytes(found: readonly FoundEnd[], bytesMax: number): readonly FoundEnd[] {
  let bytes = 0;
  const over = found.findIndex((end) => {
    bytes += end.bytes;
    return bytes > bytesMax;
  });
  return over === -1 ? found : found.slice(0, Math.max(1, over));
}

function untimelinessOf(since: Date, until: Date | null, now: Date): FieldError | null {
  if (since >= now) return { path: 'since', message: 'must have passed' };
  if (now.getTime() - since.getTime() > redeliveryAgoMsMax) {
    const days = redeliveryAgoMsMax / 86_400_000;
    return { path: 'since', message: `must lie within the last ${days} days` };
  }
  if (until === null) return null;
  if (until > now) return { path: 'until', message: 'must not lie ahead' };
  return until > since ? null : { path: 'until', message: 'must be later than since' };
}
