import type { ErrorCode, ServiceName } from '@millrace/contracts';
import { deadLetterHeaders, deadLetterTopicOf } from '@millrace/contracts';

import type { HeaderValue, WireMessage } from './wire-message.ts';

/** The part of a record that a dead letter keeps. */
export interface DeadRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  readonly rawHeaders?: Readonly<Record<string, HeaderValue>>;
}

export interface DeadLetterFacts {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly service: ServiceName;
  readonly attempts: number;
  readonly at: Date;
}

/** Characters of `dlq-detail`: it explains, the record itself is beside it. */
const detailLengthMax = 1000;

/** The record untouched, with what happened to it in headers of our own. */
export function deadLetter(record: DeadRecord, facts: DeadLetterFacts): WireMessage {
  return {
    topic: deadLetterTopicOf(record.topic),
    key: record.key,
    value: record.value,
    headers: {
      ...(record.rawHeaders ?? record.headers),
      [deadLetterHeaders.reason]: facts.code,
      [deadLetterHeaders.detail]: facts.detail.slice(0, detailLengthMax),
      [deadLetterHeaders.topic]: record.topic,
      [deadLetterHeaders.partition]: String(record.partition),
      [deadLetterHeaders.offset]: record.offset,
      [deadLetterHeaders.service]: facts.service,
      [deadLetterHeaders.attempts]: String(facts.attempts),
      [deadLetterHeaders.at]: facts.at.toISOString(),
    },
  };
}

/**
 * The dead letter without its value, for a record so large that ours is refused because of the
 * added headers: the original stays readable at its topic, partition and offset.
 */
export function withoutValue(letter: WireMessage): WireMessage {
  const detail = letter.headers[deadLetterHeaders.detail];
  const added = 'the value was too large to be kept here and stands at dlq-topic';
  return {
    ...letter,
    value: null,
    headers: {
      ...letter.headers,
      [deadLetterHeaders.detail]: typeof detail === 'string' ? `${detail} (${added})` : added,
    },
  };
}
