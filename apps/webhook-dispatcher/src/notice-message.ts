import { topics, type OutgoingMessage, type PayloadCodec } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { extractTrace } from '@millrace/runtime';

import type { Delivery } from './core/delivery.ts';
import type { Notice } from './core/notice.ts';

/** A notice as it goes to Kafka, in the trace of the delivery that it comes of. */
export function noticeMessage(
  { type, id, data }: Notice,
  delivery: Delivery,
  codec: PayloadCodec,
): OutgoingMessage {
  return eventMessage({
    topic: topics.webhookNotices,
    type,
    id,
    source: 'webhook-dispatcher',
    ...(delivery.jobId === null ? {} : { subject: delivery.jobId }),
    key: data.endpoint,
    time: new Date(data.at),
    tenant: data.tenant,
    data,
    codec,
    context: extractTrace(delivery.traceHeaders),
  });
}
