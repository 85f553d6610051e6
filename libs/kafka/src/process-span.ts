import { cloudEventHeaders } from '@millrace/contracts';
import { extractTrace, names, startSpan } from '@millrace/runtime';
import type { Attributes, Context, SpanOptions } from '@opentelemetry/api';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

import { jobIdOf } from './core/job-id.ts';

export interface ProcessedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Starts the `process T` span of a record, as the child of the span that sent it: one job is one
 * tree, across every topic.
 *
 * @returns the context that holds the span.
 */
export function startProcessSpan(record: ProcessedRecord, group: string, data: unknown): Context {
  const parent = extractTrace(record.headers);
  const name = names.span.process(record.topic);
  const span = startSpan(name, () => optionsOf(record, group, data), parent);
  return trace.setSpan(parent, span);
}

function optionsOf(record: ProcessedRecord, group: string, data: unknown): SpanOptions {
  const attributes: Attributes = {
    [names.attribute.messagingSystem]: names.value.kafka,
    [names.attribute.messagingOperationName]: names.value.process,
    [names.attribute.messagingOperationType]: names.value.process,
    [names.attribute.messagingDestination]: record.topic,
    [names.attribute.messagingPartition]: String(record.partition),
    [names.attribute.messagingGroup]: group,
    [names.attribute.messagingKafkaOffset]: Number(record.offset),
  };
  setIfGiven(attributes, names.attribute.messagingMessageId, record.headers[cloudEventHeaders.id]);
  setIfGiven(attributes, names.attribute.tenantId, record.headers[cloudEventHeaders.tenant]);
  const jobId = record.headers[cloudEventHeaders.subject] ?? jobIdOf(data);
  setIfGiven(attributes, names.attribute.jobId, jobId);
  return { kind: SpanKind.CONSUMER, attributes };
}

/** Ends it; with a code when the record went to the dead letters. */
export function endProcessSpan(context: Context, deadLetterCode: string | undefined): void {
  const span = trace.getSpan(context);
  if (span === undefined) return;
  if (deadLetterCode !== undefined) {
    span.setAttribute(names.attribute.errorCode, deadLetterCode);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

function setIfGiven(attributes: Attributes, name: string, value: string | undefined): void {
  if (value !== undefined) attributes[name] = value;
}
