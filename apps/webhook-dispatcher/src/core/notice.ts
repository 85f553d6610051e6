import {
  deliveryExhaustedSchema,
  endpointDisabledSchema,
  endpointFailingSchema,
  webhookEventTypeSchema,
  type DisabledReason,
  type WebhookNotice,
} from '@millrace/contracts';

import type { Delivery } from './delivery.ts';
import type { SettledLane } from './disable-policy.ts';
import type { DeadCode } from './outcome.ts';

/** Something that a tenant is told of one of its endpoints. */
export interface Notice {
  readonly type: NoticeType;
  /** `ce_id`, derived from the cause. */
  readonly id: string;
  readonly data: WebhookNotice;
}

export type NoticeType =
  | 'millrace.endpoint.failing.v1'
  | 'millrace.endpoint.disabled.v1'
  | 'millrace.delivery.exhausted.v1';

const noticeTypes: ReadonlySet<string> = new Set<NoticeType>([
  'millrace.endpoint.failing.v1',
  'millrace.endpoint.disabled.v1',
  'millrace.delivery.exhausted.v1',
]);

/** A delivery to a registered endpoint. */
export interface EndpointDelivery extends Delivery {
  readonly endpoint: string;
}

export function isToEndpoint(delivery: Delivery): delivery is EndpointDelivery {
  return delivery.endpoint !== null;
}

/** @returns null for the delivery of a notice: of those there would be no end. */
export function exhaustedNotice(
  delivery: EndpointDelivery,
  death: { readonly code: DeadCode; readonly attempts: number; readonly nowMs: number },
): Notice | null {
  const type = webhookEventTypeSchema.safeParse(delivery.eventType);
  if (!type.success || noticeTypes.has(type.data)) return null;
  return {
    type: 'millrace.delivery.exhausted.v1',
    // A replay begins a schedule of its own, which may be used up as well.
    id: `${delivery.tenant}:${delivery.id}:${delivery.createdAtMs}:exhausted`,
    data: deliveryExhaustedSchema.parse({
      ...aboutEndpoint(delivery, death.nowMs),
      delivery_id: delivery.id,
      webhook_id: delivery.webhookId,
      event_type: type.data,
      ...(delivery.jobId === null ? {} : { job_id: delivery.jobId }),
      attempts: death.attempts,
      code: death.code,
    }),
  };
}

export function disabledNotice(
  delivery: EndpointDelivery,
  reason: DisabledReason,
  nowMs: number,
): Notice {
  return {
    type: 'millrace.endpoint.disabled.v1',
    id: `${delivery.tenant}:${delivery.id}:${delivery.createdAtMs}:disabled`,
    data: endpointDisabledSchema.parse({ ...aboutEndpoint(delivery, nowMs), reason }),
  };
}

export function failingNotice(
  delivery: EndpointDelivery,
  lane: SettledLane,
  { redirected, nowMs }: { readonly redirected: boolean; readonly nowMs: number },
): Notice {
  const sinceMs = lane.failingSinceMs ?? nowMs;
  return {
    type: 'millrace.endpoint.failing.v1',
    id: `${delivery.tenant}:${delivery.endpoint}:${sinceMs}:failing`,
    data: endpointFailingSchema.parse({
      ...aboutEndpoint(delivery, nowMs),
      reason: redirected ? 'redirect' : 'failures',
      failing_since: new Date(sinceMs).toISOString(),
      failures: lane.failures,
    }),
  };
}

/** The query of a URL may hold a token of the receiver: it is told to nobody else. */
function aboutEndpoint(delivery: EndpointDelivery, nowMs: number): object {
  const url = URL.parse(delivery.url);
  return {
    tenant: delivery.tenant,
    endpoint: delivery.endpoint,
    url: url === null ? '' : `${url.origin}${url.pathname}`,
    at: new Date(nowMs).toISOString(),
  };
}
