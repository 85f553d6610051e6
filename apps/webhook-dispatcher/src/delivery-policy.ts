import type { SigningKeys } from '@millrace/egress';
import { BadRowError } from '@millrace/postgres';
import type { Claimed, OriginSlots, ReleaseUnheld, WorkPolicy, WorkQueue } from '@millrace/work';

import { AttemptTelemetry, type AttemptSpan } from './attempt-telemetry.ts';
import { isWhole, type Delivery, type WholeDelivery } from './core/delivery.ts';
import { outcomeOf, postponed, type Outcome, type RetryPolicy } from './core/outcome.ts';
import { requestHeaders } from './core/request-headers.ts';
import type { Courier, Deliveries, Tenants } from './ports.ts';

export type DeliveryQueue = WorkQueue<Delivery, Outcome>;

export interface DeliveryPolicyOptions {
  readonly deliveries: Deliveries;
  readonly tenants: Tenants;
  readonly courier: Courier;
  readonly slots: OriginSlots;
  readonly retry: RetryPolicy;
  readonly telemetry: AttemptTelemetry;
  /** Called when an origin that was full has room again: rows of it may be waiting. */
  readonly onRoom: () => void;
}

/** How the work queue sends webhooks: one run is one POST. */
export class DeliveryPolicy implements WorkPolicy<Delivery, Outcome> {
  constructor(private readonly options: DeliveryPolicyOptions) {}

  claim({ owner, limit }: { owner: string; limit: number }): Promise<Claimed<Delivery>> {
    const { deliveries, slots } = this.options;
    const busy = slots.busy(performance.now());
    const roomElsewhere = slots.limits.inFlightMax;
    return deliveries.claim({ owner, limit, busy, roomElsewhere });
  }

  async run(delivery: Delivery, signal: AbortSignal): Promise<Outcome> {
    // It goes to `crashed`, and ends as a dead letter if nobody mends the row.
    if (!isWhole(delivery)) throw new TypeError('the stored body of a webhook cannot be read');
    const { slots, onRoom } = this.options;
    slots.take(delivery);
    let answered = false;
    try {
      const outcome = await this.attempt(delivery, signal);
      answered = isAnswered(outcome);
      return outcome;
    } finally {
      if (slots.release(delivery, { answered, nowMs: performance.now() })) onRoom();
    }
  }

  crashed(delivery: Delivery, error: unknown): Outcome {
    // A row that Postgres refuses to settle would be sent again for ever.
    if (error instanceof BadRowError) {
      return { kind: 'dead', code: 'delivery_exhausted', attempt: null };
    }
    return postponed('crashed', { createdAtMs: delivery.createdAtMs, nowMs: Date.now() });
  }

  settle(delivery: Delivery, outcome: Outcome): Promise<void> {
    return this.options.deliveries.settle(delivery, outcome);
  }

  /** A webhook that is due tells of a job that has ended: nobody cancels that. */
  async cancelRequested(): Promise<string[]> {
    return [];
  }

  reap(deadOwners: string[]): Promise<number> {
    return this.options.deliveries.reap(deadOwners);
  }

  releaseUnheld(options: ReleaseUnheld): Promise<number> {
    return this.options.deliveries.releaseUnheld(options);
  }

  private async attempt(delivery: WholeDelivery, signal: AbortSignal): Promise<Outcome> {
    const keys = await this.signingKeysOf(delivery);
    const nowMs = Date.now();
    const { createdAtMs } = delivery;
    if (keys === 'unavailable') return postponed('own_fault', { createdAtMs, nowMs });
    if (keys === null) {
      this.options.telemetry.tenantUnknown(delivery);
      return postponed('tenant_unknown', { createdAtMs, nowMs });
    }
    const span = this.options.telemetry.start(delivery);
    const outcome = await this.post(delivery, { keys, span, signal });
    span.end(outcome);
    return outcome;
  }

  private async post(
    delivery: WholeDelivery,
    attempt: { keys: readonly SigningKeys[]; span: AttemptSpan; signal: AbortSignal },
  ): Promise<Outcome> {
    const { courier, retry } = this.options;
    const { keys, span, signal } = attempt;
    const result = await courier.post({
      url: delivery.url,
      headers: requestHeaders(delivery, {
        keys,
        nowMs: Date.now(),
        traceHeaders: span.traceHeaders,
      }),
      body: delivery.body,
      signal,
    });
    return outcomeOf(result, {
      attemptsMade: delivery.attemptsMade,
      createdAtMs: delivery.createdAtMs,
      nowMs: Date.now(),
      random: Math.random(),
      retry,
    });
  }

  /** Lost infrastructure is our own fault, not the receiver's: it costs the delivery nothing. */
  private async signingKeysOf(
    delivery: Delivery,
  ): Promise<readonly SigningKeys[] | null | 'unavailable'> {
    try {
      return await this.options.tenants.signingKeysOf(delivery.tenant);
    } catch (error) {
      this.options.telemetry.secretsUnavailable(delivery, error);
      return 'unavailable';
    }
  }
}

/** Whatever the receiver said: it is not hanging. */
function isAnswered(outcome: Outcome): boolean {
  return outcome.kind !== 'postponed' && (outcome.attempt?.status ?? null) !== null;
}
