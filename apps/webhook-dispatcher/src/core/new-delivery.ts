import { jobDayOf, type JobFinished } from '@millrace/contracts';

import { callbackBodyOf } from './callback-body.ts';
import { originOf, type NewDelivery, type OriginalRecord, type RecordPlace } from './delivery.ts';
import { webhookIdOf } from './webhook-id.ts';

export interface FinishedRecord {
  /** `ce_id`. */
  readonly eventId: string;
  readonly job: JobFinished;
  readonly source: RecordPlace;
  readonly original: OriginalRecord;
  readonly traceHeaders: Readonly<Record<string, string>>;
}

/**
 * The delivery that a finished job asks for; null when nobody wants to be told.
 * It is born without an owner: the shell gives it one if a slot is free.
 */
export function newDelivery(
  record: FinishedRecord,
  context: { readonly publicUrl: string; readonly nowMs: number },
): NewDelivery | null {
  const { job, eventId } = record;
  if (job.callback === undefined) return null;
  return {
    id: webhookIdOf(eventId),
    day: jobDayOf(job.created_at),
    tenant: job.tenant,
    jobId: job.job_id,
    url: job.callback.url,
    origin: originOf(job.callback.url),
    body: callbackBodyOf(job, context.publicUrl),
    traceHeaders: record.traceHeaders,
    attemptsMade: 0,
    createdAtMs: context.nowMs,
    source: record.source,
    owner: null,
    record: record.original,
  };
}
