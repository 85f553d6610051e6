import type { OutgoingMessage, PayloadCodec, ServiceName, Topic } from '@millrace/contracts';
import { cloudEventHeaders } from '@millrace/contracts';
import { injectTrace, names, startSpan } from '@millrace/runtime';
import type { Context, Span, SpanOptions } from '@opentelemetry/api';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

import { jobIdOf } from './core/job-id.ts';

/** The event's data, or its JSON where that is written already: it is kept in a row as well. */
export type EventBody<D> =
  | { readonly data: D }
  | { readonly json: string; readonly subject: string };

export type EventMessageOptions<D> = EventFacts & EventBody<D>;

export interface EventFacts {
  readonly topic: Topic;
  readonly type: string;
  /** `ce_id`: derived from the cause, so that a repeated publish is seen as the same event. */
  readonly id: string;
  readonly source: ServiceName;
  /** `ce_subject`: the job's id, where the event is about one. */
  readonly subject?: string;
  readonly key: string | null;
  readonly time: Date;
  readonly tenant: string;
  readonly codec: PayloadCodec;
  /** Parent of the `send T` span. */
  readonly context: Context;
}

/**
 * An event in CloudEvents binary mode. It starts its own `send T` span, whose `traceparent` it
 * carries even when an outbox sends it later; the publisher that sends it ends the span.
 */
export function eventMessage<D extends object>(options: EventMessageOptions<D>): OutgoingMessage {
  const { topic, type } = options;
  if (!Object.hasOwn(topic.types, type)) {
    throw new TypeError(`${type} is not a type of ${topic.name} in the topic table`);
  }
  const value = encodeData(options);
  const span = startSendSpan(options, value.length);
  return {
    topic: topic.name,
    key: options.key,
    value,
    headers: {
      [cloudEventHeaders.id]: options.id,
      [cloudEventHeaders.source]: `/millrace/${options.source}`,
      [cloudEventHeaders.type]: type,
      [cloudEventHeaders.specVersion]: '1.0',
      [cloudEventHeaders.time]: options.time.toISOString(),
      [cloudEventHeaders.tenant]: options.tenant,
      ...(options.subject === undefined ? {} : { [cloudEventHeaders.subject]: options.subject }),
      [cloudEventHeaders.contentType]: 'application/json',
      ...injectTrace(trace.setSpan(options.context, span)),
    },
    onSettled: (error) => endSendSpan(span, error),
  };
}

function encodeData<D>(options: EventMessageOptions<D>): Buffer {
  const json = Buffer.from('json' in options ? options.json : JSON.stringify(options.data));
  // A public topic is read by clients that have no codec of ours.
  if (options.topic.direction !== 'internal') return json;
  return options.codec.encode(json, { tenant: options.tenant, medium: 'kafka' });
}

function startSendSpan<D>(options: EventMessageOptions<D>, bodyBytes: number): Span {
  const name = names.span.send(options.topic.name);
  return startSpan(name, () => sendSpanOptions(options, bodyBytes), options.context);
}

function sendSpanOptions<D>(options: EventMessageOptions<D>, bodyBytes: number): SpanOptions {
  const jobId = options.subject ?? ('data' in options ? jobIdOf(options.data) : undefined);
  return {
    kind: SpanKind.PRODUCER,
    attributes: {
      [names.attribute.messagingSystem]: names.value.kafka,
      [names.attribute.messagingOperationName]: names.value.send,
      [names.attribute.messagingOperationType]: names.value.send,
      [names.attribute.messagingDestination]: options.topic.name,
      [names.attribute.messagingMessageId]: options.id,
      [names.attribute.messagingBodySize]: bodyBytes,
      [names.attribute.tenantId]: options.tenant,
      ...(jobId === undefined ? {} : { [names.attribute.jobId]: jobId }),
    },
  };
}

function endSendSpan(span: Span, error: Error | undefined): void {
  if (error !== undefined) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.setAttribute(names.attribute.errorType, error.name);
  }
  span.end();
}
