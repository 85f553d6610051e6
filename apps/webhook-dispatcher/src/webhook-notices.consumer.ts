import { topics, type WebhookNotice } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { injectTrace } from '@millrace/runtime';
import { Controller } from '@nestjs/common';

import type { NewDelivery } from './core/delivery.ts';
import { noticeDeliveries } from './core/notice-deliveries.ts';
import { DeliveryIntake } from './delivery-intake.ts';
import { Endpoints } from './ports.ts';

type NoticeRecord = EventRecord<WebhookNotice>;

/** Tells the other endpoints of a tenant what became of one of them. */
@Controller()
export class WebhookNoticesConsumer {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly intake: DeliveryIntake,
  ) {}

  @Step(topics.webhookNotices)
  async handle(records: readonly NoticeRecord[]): Promise<StepResult<NoticeRecord>> {
    const known = await this.endpoints.ofTenants(records.map(({ data }) => data.tenant));
    const deliveries = records.flatMap((record): NewDelivery[] =>
      noticeDeliveries(
        {
          eventId: record.id,
          eventType: record.type,
          notice: record.data,
          traceHeaders: injectTrace(record.context),
        },
        { endpoints: known.get(record.data.tenant) ?? [], nowMs: Date.now() },
      ),
    );
    // What the database refuses of a notice is told to nobody: there is no record to put aside.
    await this.intake.take(deliveries);
    return {};
  }
}
