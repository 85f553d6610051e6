import type { WebhookNotice } from '@millrace/contracts';

import type { NewDelivery } from './delivery.ts';
import { noticeBodiesOf } from './endpoint-body.ts';
import { wants, type Endpoint } from './endpoint.ts';
import { endpointDelivery } from './new-delivery.ts';

export interface NoticeRecord {
  readonly eventId: string;
  readonly eventType: string;
  readonly notice: WebhookNotice;
  readonly traceHeaders: Readonly<Record<string, string>>;
}

/** A notice for each endpoint that wants it, but for the one that it is about. */
export function noticeDeliveries(
  { eventId, eventType, notice, traceHeaders }: NoticeRecord,
  context: { readonly endpoints: readonly Endpoint[]; readonly nowMs: number },
): NewDelivery[] {
  const { tenant, at, ...data } = notice;
  const bodies = noticeBodiesOf({ type: eventType, timestamp: at, data });
  const jobId = 'job_id' in notice ? (notice.job_id ?? null) : null;
  const event = {
    eventId,
    eventType,
    tenant,
    jobId,
    day: at.slice(0, 'YYYY-MM-DD'.length),
    traceHeaders,
    bodies,
  };
  return context.endpoints
    .filter((endpoint) => endpoint.id !== notice.endpoint && wants(endpoint, eventType))
    .map((endpoint) => endpointDelivery(event, endpoint, context.nowMs));
}
