import {
  assertNever,
  deliveryIdSchema,
  ProblemError,
  tenantDeliveriesPath,
  type DeliveryAttemptList,
  type DeliveryId,
  type DeliveryList,
  type DeliveryView,
  type ReplayBatchAnswer,
} from '@millrace/contracts';
import { InternalKeyGuard } from '@millrace/runtime';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Param,
  Post,
  Query,
  UseFilters,
  UseGuards,
} from '@nestjs/common';

import { deliveryQueryOf, encodeDeliveryCursor, replayQueryOf } from './core/delivery-query.ts';
import { QueueWaker, TenantDeliveries } from './management-ports.ts';
import { ProblemFilter } from './problem-filter.ts';
import { replayAnswerOf, tenantOf } from './webhook-endpoints.controller.ts';

/** A tenant's deliveries, for ingest, which knows whose a request is. */
@Controller(tenantDeliveriesPath.slice(1))
@UseGuards(InternalKeyGuard)
@UseFilters(ProblemFilter)
export class TenantDeliveriesController {
  constructor(
    private readonly deliveries: TenantDeliveries,
    private readonly queue: QueueWaker,
  ) {}

  @Get()
  async list(@Param('tenant') tenant: string, @Query() given: unknown): Promise<DeliveryList> {
    const page = await this.deliveries.list(tenantOf(tenant), deliveryQueryOf(given));
    return {
      data: [...page.deliveries],
      next_cursor: page.next === null ? null : encodeDeliveryCursor(page.next),
    };
  }

  /** Of all that fit. It stands on a path of its own: a delivery has no such id. */
  @Post('replay')
  @HttpCode(202)
  async replayAll(
    @Param('tenant') tenant: string,
    @Body() body: unknown,
  ): Promise<ReplayBatchAnswer> {
    const replayed = await this.deliveries.replayAll(tenantOf(tenant), replayQueryOf(body));
    this.queue.wake();
    return replayAnswerOf(replayed);
  }

  @Get(':id')
  async get(@Param('tenant') tenant: string, @Param('id') id: string): Promise<DeliveryView> {
    const delivery = await this.deliveries.get(tenantOf(tenant), idOf(id));
    if (delivery === null) throw notFound();
    return delivery;
  }

  @Get(':id/attempts')
  async attempts(
    @Param('tenant') tenant: string,
    @Param('id') id: string,
  ): Promise<DeliveryAttemptList> {
    const attempts = await this.deliveries.attempts(tenantOf(tenant), idOf(id));
    if (attempts === null) throw notFound();
    return { data: attempts };
  }

  @Post(':id/replay')
  @HttpCode(202)
  async replay(@Param('tenant') tenant: string, @Param('id') id: string): Promise<DeliveryView> {
    const outcome = await this.deliveries.replay(tenantOf(tenant), idOf(id));
    switch (outcome.kind) {
      case 'replayed':
        this.queue.wake();
        return outcome.delivery;
      case 'unknown':
        throw notFound();
      case 'under_way':
        throw new ProblemError('delivery_under_way', 'it waits or is being sent already');
      case 'endpoint_deleted':
        throw new ProblemError('gone', 'its endpoint was deleted');
      case 'endpoint_disabled':
        throw new ProblemError('not_enabled', 'its endpoint is disabled: enable it first');
      default:
        return assertNever(outcome);
    }
  }
}

function idOf(text: string): DeliveryId {
  const id = deliveryIdSchema.safeParse(text);
  if (!id.success) throw notFound();
  return id.data;
}

function notFound(): ProblemError {
  return new ProblemError('not_found', 'there is no delivery of this id');
}
