import type { DeliveryView, ReplayBatchAnswer, WebhookEndpointView } from '@millrace/contracts';

import { fields } from './table.ts';

/** An endpoint as a person reads it. */
export function endpointText(endpoint: WebhookEndpointView): string {
  const { disabled_reason: reason, health, secrets, status } = endpoint;
  const { rate_per_second: rate, retry_schedule_seconds: schedule } = endpoint;
  const headers = Object.keys(endpoint.headers);
  return fields({
    id: endpoint.id,
    url: endpoint.url,
    description: endpoint.description === '' ? undefined : endpoint.description,
    events: endpoint.event_types.length === 0 ? 'all' : endpoint.event_types.join(' '),
    payload: endpoint.payload,
    headers: headers.length === 0 ? undefined : headers.join(' '),
    rate: rate === null ? undefined : `${rate} a second`,
    'at once': endpoint.in_flight_max,
    timeout: `${endpoint.timeout_seconds} s`,
    schedule: schedule === null ? undefined : `${schedule.join(', ')} s`,
    status: reason === null ? status : `${status} (${reason})`,
    since: endpoint.status_changed_at,
    closed: closedText(endpoint),
    failing: health.failing_since ?? undefined,
    secrets: secrets.length,
    version: endpoint.version,
  });
}

/** A secret that is shown this once, on a line of its own. */
export function endpointSecretText(secret: string): string {
  return `Its signing secret, which is not shown again:\n${secret}`;
}

/** A delivery as a person reads it. */
export function deliveryText(delivery: DeliveryView): string {
  return fields({
    id: delivery.id,
    type: delivery.event_type,
    job: delivery.job_id ?? undefined,
    url: delivery.url,
    status: delivery.code === null ? delivery.status : `${delivery.status} (${delivery.code})`,
    attempts: delivery.attempts,
    next: delivery.next_attempt_at ?? undefined,
    made: delivery.created_at,
    ended: delivery.ended_at ?? undefined,
    replayed: delivery.replayed_at ?? undefined,
  });
}

/** What a replay of many came to. */
export function replayedText({ more, replayed, until }: ReplayBatchAnswer): string {
  return `${replayed} sent again${more ? `; there are more: ask again with --until ${until}` : ''}`;
}

function closedText({ health }: WebhookEndpointView): string | undefined {
  if (health.closed_until === null) return undefined;
  return `until ${health.closed_until} (${health.closed_why ?? ''})`;
}
