import {
  deliveriesPath,
  jobDeliveriesQuerySchema,
  type JobDeliveries,
} from '@millrace/contracts';
import { InternalKeyGuard } from '@millrace/runtime';
import { BadRequestException, Controller, Get, Query, UseGuards } from '@nestjs/common';

import { DeliveryHistory } from './ports.ts';

/** What ingest shows of a job's webhooks. A management route: no job waits for it. */
@Controller(deliveriesPath.slice(1))
@UseGuards(InternalKeyGuard)
export class DeliveriesController {
  constructor(private readonly history: DeliveryHistory) {}

  @Get()
  async ofJob(@Query() given: unknown): Promise<JobDeliveries> {
    const query = jobDeliveriesQuerySchema.safeParse(given);
    if (!query.success) throw new BadRequestException();
    return { deliveries: await this.history.ofJob(query.data) };
  }
}
