import type { LaneTerms } from './lane-slots.ts';
import type { Lane, LaneSight } from './lane.ts';

/** A webhook on its way to one receiver, as its row says. */
export interface Delivery extends Lane {
  /** The `webhook-id`, and for an endpoint the endpoint's id after it. */
  readonly id: string;
  /** The `webhook-id`: the same for every receiver of the event. */
  readonly webhookId: string;
  /** `YYYY-MM-DD`: the day that the row is kept under, of a job's that of the job. */
  readonly day: string;
  /** Null for a job's own `callback_url`. */
  readonly endpoint: string | null;
  /** `ce_type`; null in rows of an older release. */
  readonly eventType: string | null;
  /** Null for what is about no job. */
  readonly jobId: string | null;
  /** An endpoint's is the one that it had when this was made. */
  readonly url: string;
  /** The bytes that are signed and sent, decoded; null when those in the table cannot be read. */
  readonly body: Buffer | null;
  /** `traceparent` and `tracestate` of the span that took the event in. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  /** Counted attempts of its schedule so far: a redrive begins it anew. */
  readonly attemptsMade: number;
  /** When that schedule began. */
  readonly createdAtMs: number;
  /** Where the event stood, for a dead letter's headers; an endpoint's delivery makes none. */
  readonly source: RecordPlace | null;
  /** The process that runs it; the fence of every statement that changes its row. */
  readonly owner: string;
  /** Its lane when it was handed to this process. */
  readonly sight: LaneSight;
}

/** A webhook that can be sent. */
export interface WholeDelivery extends Delivery {
  readonly body: Buffer;
}

export function isWhole(delivery: Delivery): delivery is WholeDelivery {
  return delivery.body !== null;
}

export interface RecordPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

/** A delivery to be inserted: owned by this process when a slot is free, else by none yet. */
export interface NewDelivery extends Omit<WholeDelivery, 'owner' | 'sight'> {
  readonly owner: string | null;
  /** Until its first attempt: a schedule may begin later than at once. */
  readonly firstAfterMs: number;
  /** What its lane may have at once, as far as its registration says. */
  readonly terms: LaneTerms;
  /** The record untouched, for a dead letter. */
  readonly record: OriginalRecord | null;
}

export interface OriginalRecord {
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Buffer | null;
}

/** Scheme, host and port of a URL; one word for all URLs that cannot be read. */
export function originOf(url: string): string {
  return URL.parse(url)?.origin ?? 'unreadable';
}
