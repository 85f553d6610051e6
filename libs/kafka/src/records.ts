import type { ErrorCode, OutgoingMessage } from '@millrace/contracts';
import type { Context } from '@opentelemetry/api';

import type { HeaderValue } from './client.ts';

/** A record whose event was decoded with the topic table's schema. */
export interface EventRecord<D> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: string | null;
  readonly timestampMs: number;
  /** `ce_id`. */
  readonly id: string;
  /** `ce_type`. */
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: D;
  /** Of its `process T` span; a handler may set attributes on it. */
  readonly context: Context;
}

/** A record as it lies in the topic, for the intake that decodes by itself. */
export interface RawRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
  /** The headers' own bytes, for a dead letter that is to be untouched. */
  readonly rawHeaders?: Readonly<Record<string, HeaderValue>>;
  readonly timestampMs: number;
  readonly clusterId: string;
  readonly context: Context;
}

/** What a step wants done once its commit stands, or that it wants to be asked again. */
export interface StepResult<R> {
  readonly publish?: readonly OutgoingMessage[];
  readonly deadLetters?: readonly DeadLetterRequest<R>[];
  /**
   * Nothing was done, and nothing failed: the same records again after this long, the partition
   * paused meanwhile. What else the result says is not looked at.
   */
  readonly retryAfterMs?: number;
  /** Called when Kafka has acknowledged all of it: delete the outbox rows, wake a queue. */
  readonly afterPublish?: () => void;
}

export interface DeadLetterRequest<R> {
  readonly record: R;
  readonly code: ErrorCode;
  readonly detail: string;
}
