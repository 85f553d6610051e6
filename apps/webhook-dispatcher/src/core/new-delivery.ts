import { jobDayOf, type JobFinished } from '@millrace/contracts';

import { callbackBodyOf } from './callback-body.ts';
import { originOf, type NewDelivery, type OriginalRecord, type RecordPlace } from './delivery.ts';
import { jobBodiesOf, type EndpointBodies } from './endpoint-body.ts';
import { wants, type Endpoint } from './endpoint.ts';
import { defaultTerms } from './lane-slots.ts';
import { webhookIdOf } from './webhook-id.ts';

export interface FinishedRecord {
  /** `ce_id`. */
  readonly eventId: string;
  /** `ce_type`. */
  readonly eventType: string;
  readonly job: JobFinished;
  readonly source: RecordPlace;
  readonly original: OriginalRecord;
  readonly traceHeaders: Readonly<Record<string, string>>;
}

export interface FanOutContext {
  readonly publicUrl: string;
  readonly nowMs: number;
  /** All of the tenant. */
  readonly endpoints: readonly Endpoint[];
}

/**
 * The deliveries that a finished job asks for: of its `callback_url`, and of each endpoint that
 * wants to be told. They are born without an owner: the shell gives them one if a slot is free.
 */
export function newDeliveries(record: FinishedRecord, context: FanOutContext): NewDelivery[] {
  const callback = callbackDelivery(record, context);
  const { eventType, job } = record;
  const wanting = context.endpoints.filter((endpoint) => wants(endpoint, eventType));
  const deliveries = callback === null ? [] : [callback];
  if (wanting.length === 0) return deliveries;
  const event: EndpointEvent = {
    eventId: record.eventId,
    eventType,
    tenant: job.tenant,
    jobId: job.job_id,
    day: jobDayOf(job.created_at),
    traceHeaders: record.traceHeaders,
    bodies: jobBodiesOf(job, eventType, context.publicUrl),
  };
  return [
    ...deliveries,
    ...wanting.map((endpoint) => endpointDelivery(event, endpoint, context.nowMs)),
  ];
}

/** Something that endpoints are told. */
export interface EndpointEvent {
  readonly eventId: string;
  readonly eventType: string;
  readonly tenant: string;
  readonly jobId: string | null;
  readonly day: string;
  readonly traceHeaders: Readonly<Record<string, string>>;
  readonly bodies: EndpointBodies;
}

export function endpointDelivery(
  event: EndpointEvent,
  endpoint: Endpoint,
  nowMs: number,
): NewDelivery {
  const webhookId = webhookIdOf(event.eventId);
  return {
    id: `${webhookId}.${endpoint.id}`,
    webhookId,
    day: event.day,
    tenant: event.tenant,
    endpoint: endpoint.id,
    eventType: event.eventType,
    jobId: event.jobId,
    url: endpoint.url,
    origin: endpoint.id,
    body: event.bodies[endpoint.payload],
    traceHeaders: event.traceHeaders,
    attemptsMade: 0,
    createdAtMs: nowMs,
    firstAfterMs: endpoint.scheduleMs?.[0] ?? 0,
    terms: { cap: endpoint.inFlightMax, ratePerSecond: endpoint.ratePerSecond },
    source: null,
    owner: null,
    record: null,
  };
}

/** Null when the job has nobody to call back. */
function callbackDelivery(
  record: FinishedRecord,
  context: FanOutContext,
): NewDelivery | null {
  const { job } = record;
  if (job.callback === undefined) return null;
  const webhookId = webhookIdOf(record.eventId);
  return {
    id: webhookId,
    webhookId,
    day: jobDayOf(job.created_at),
    tenant: job.tenant,
    endpoint: null,
    eventType: record.eventType,
    jobId: job.job_id,
    url: job.callback.url,
    origin: originOf(job.callback.url),
    body: callbackBodyOf(job, context.publicUrl),
    traceHeaders: record.traceHeaders,
    attemptsMade: 0,
    createdAtMs: context.nowMs,
    firstAfterMs: 0,
    terms: defaultTerms,
    source: record.source,
    owner: null,
    record: record.original,
  };
}
