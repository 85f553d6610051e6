import type { DisabledReason, PayloadCodec } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';

import type { Delivery } from './core/delivery.ts';
import { disableReasonOf, isFailingNews, type SettledLane } from './core/disable-policy.ts';
import {
  disabledNotice,
  failingNotice,
  isToEndpoint,
  type EndpointDelivery,
} from './core/notice.ts';
import type { Outcome } from './core/outcome.ts';
import { noticeMessage } from './notice-message.ts';
import type { Endpoints } from './ports.ts';

/** Disables endpoints and tells their tenants, by what was settled. Few attempts come to that. */
export class EndpointKeeper {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly codec: PayloadCodec,
    private readonly log: Logger,
  ) {}

  /**
   * Never rejects: the attempt is settled, and an endpoint that is still there answers the next one
   * the same.
   */
  async after(delivery: Delivery, outcome: Outcome, lane: SettledLane | null): Promise<void> {
    if (!isToEndpoint(delivery)) return;
    try {
      const nowMs = Date.now();
      const reason = reasonOf(outcome, lane, nowMs);
      if (reason !== null) await this.disable(delivery, reason, nowMs);
      else if (lane !== null) await this.tellFailing(delivery, { outcome, lane, nowMs });
    } catch (error) {
      const { endpoint, tenant } = delivery;
      this.log.warn({ endpoint, tenant, error }, 'what an endpoint became was not written');
    }
  }

  private async disable(
    delivery: EndpointDelivery,
    reason: DisabledReason,
    nowMs: number,
  ): Promise<void> {
    const { endpoint: id, tenant } = delivery;
    const message = noticeMessage(disabledNotice(delivery, reason, nowMs), delivery, this.codec);
    await this.endpoints.disable({ tenant, id, reason, notice: message });
    // It is the outbox's by now.
    message.onSettled?.();
    this.log.warn({ endpoint: id, tenant, reason }, 'an endpoint was disabled');
  }

  private async tellFailing(
    delivery: EndpointDelivery,
    end: { readonly outcome: Outcome; readonly lane: SettledLane; readonly nowMs: number },
  ): Promise<void> {
    const { outcome, lane, nowMs } = end;
    const redirected = outcome.kind !== 'postponed' && outcome.attempt?.class === 'redirect';
    if (!isFailingNews(lane, { redirected })) return;
    const notice = failingNotice(delivery, lane, { redirected, nowMs });
    const message = noticeMessage(notice, delivery, this.codec);
    await this.endpoints.tellFailing({ tenant: delivery.tenant, id: delivery.endpoint }, message);
    message.onSettled?.();
  }
}

function reasonOf(
  outcome: Outcome,
  lane: SettledLane | null,
  nowMs: number,
): DisabledReason | null {
  if (outcome.kind === 'skipped') return outcome.reason;
  if (outcome.kind === 'delivered' && outcome.disables) return 'requested';
  return lane === null ? null : disableReasonOf(lane, nowMs);
}
