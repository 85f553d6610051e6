import { cloudEventHeaders } from '@millrace/contracts';
import type { PayloadCodec, Topic } from '@millrace/contracts';

import type { FetchedMessage, HeaderValue } from './client.ts';
import { decodeEvent } from './core/decode.ts';
import type { BadRecord } from './core/decode.ts';
import { unreadableRecord } from './core/unreadable-record.ts';
import { startProcessSpan } from './process-span.ts';
import type { EventRecord, RawRecord } from './records.ts';

/** One record as its step gets it, or why it cannot get it. */
export type ReadRecord =
  | { readonly kind: 'good'; readonly record: EventRecord<unknown> | RawRecord }
  | { readonly kind: 'bad'; readonly record: RawRecord; readonly bad: BadRecord };

export interface ReadingOptions {
  readonly topic: Topic;
  readonly form: 'event' | 'raw';
  readonly partition: number;
  readonly group: string;
  readonly clusterId: string;
  readonly codec: PayloadCodec;
}

/** Reads a message for its step and starts its `process` span. */
export function readMessage(message: FetchedMessage, options: ReadingOptions): ReadRecord {
  const headers = textHeaders(message.headers);
  const place = {
    topic: options.topic.name,
    partition: options.partition,
    offset: message.offset,
    headers,
  };
  if (message.unreadable !== undefined) {
    const bad = unreadableRecord(message.unreadable);
    return { kind: 'bad', record: rawRecord(message, place, options), bad };
  }
  if (options.form === 'raw') {
    return { kind: 'good', record: rawRecord(message, place, options) };
  }
  const decoded = decodeEvent(options.topic, { value: message.value, headers }, (body) =>
    decodeBody(body, headers, options),
  );
  if (decoded.kind === 'bad') {
    const record = rawRecord(message, place, options);
    return { kind: 'bad', record, bad: decoded };
  }
  const record: EventRecord<unknown> = {
    ...place,
    key: message.key === null ? null : message.key.toString('utf8'),
    timestampMs: message.timestampMs,
    id: decoded.id,
    type: decoded.type,
    data: decoded.data,
    context: startProcessSpan(place, options.group, decoded.data),
  };
  return { kind: 'good', record };
}

/** The headers as text; of several values of one name the first counts, as in HTTP. */
export function textHeaders(
  headers: Readonly<Record<string, HeaderValue>>,
): Record<string, string> {
  const text: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    const first = firstValue(value);
    if (first !== undefined) text[name] = first.toString('utf8');
  }
  return text;
}

function firstValue(value: HeaderValue | undefined): Buffer | string | undefined {
  if (value === undefined || typeof value === 'string' || Buffer.isBuffer(value)) return value;
  return value[0];
}

function decodeBody(
  body: Buffer,
  headers: Readonly<Record<string, string>>,
  options: ReadingOptions,
): Buffer {
  // What is public was written for clients without a codec, and partly by them.
  if (options.topic.direction !== 'internal') return body;
  const tenant = headers[cloudEventHeaders.tenant] ?? '';
  return options.codec.decode(body, { tenant, medium: 'kafka' });
}

function rawRecord(
  message: FetchedMessage,
  place: Pick<RawRecord, 'topic' | 'partition' | 'offset' | 'headers'>,
  options: ReadingOptions,
): RawRecord {
  return {
    ...place,
    key: message.key,
    value: message.value,
    rawHeaders: message.headers,
    timestampMs: message.timestampMs,
    clusterId: options.clusterId,
    context: startProcessSpan(place, options.group, undefined),
  };
}
