import type { OutgoingMessage, PayloadCodec } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { expectSpans } from '@millrace/runtime';
import type { Context } from '@opentelemetry/api';

import { routeOf, withSessionSeq, type EventOrigin } from './core/new-job.ts';

/** What of a job's row its first event is made of. */
export interface Announceable extends EventOrigin {
  readonly firstEventJson: string;
  readonly createdAt: Date;
}

/** What the run of an agent or a document counts for: six turns with a tool, eight spans a step. */
const spansOfRun = 100;

/** A job's first event: the same id, key and data whenever it is made from its row. */
export function announcementOf(
  job: Announceable,
  seq: number | null,
  o: { readonly codec: PayloadCodec; readonly context: Context },
): OutgoingMessage {
  const route = routeOf(job);
  if (job.type !== 'message') expectSpans(o.context, spansOfRun);
  return eventMessage({
    topic: route.topic,
    type: route.type,
    id: route.id,
    key: route.key,
    source: 'ingest',
    subject: job.id,
    time: job.createdAt,
    tenant: job.tenant,
    json: withSessionSeq(job.firstEventJson, seq),
    codec: o.codec,
    context: o.context,
  });
}
