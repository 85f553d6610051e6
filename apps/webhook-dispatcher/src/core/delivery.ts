/** A webhook on its way, as its row says. */
export interface Delivery {
  /** The `webhook-id`. */
  readonly id: string;
  /** `YYYY-MM-DD`: the day that the job's rows are kept under. */
  readonly day: string;
  readonly tenant: string;
  readonly jobId: string;
  readonly url: string;
  /** What a hanging receiver is isolated by, together with the tenant. */
  readonly origin: string;
  /** The bytes that are signed and sent, decoded; null when those in the table cannot be read. */
  readonly body: Buffer | null;
  /** `traceparent` and `tracestate` of the span that took the event in. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  /** Counted attempts of its schedule so far: a redrive begins it anew. */
  readonly attemptsMade: number;
  /** When that schedule began. */
  readonly createdAtMs: number;
  /** Where the event stood, for a dead letter's headers. */
  readonly source: RecordPlace;
  /** The process that runs it; the fence of every statement that changes its row. */
  readonly owner: string;
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
export interface NewDelivery extends Omit<WholeDelivery, 'owner'> {
  readonly owner: string | null;
  /** The record untouched, for a dead letter. */
  readonly record: OriginalRecord;
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
