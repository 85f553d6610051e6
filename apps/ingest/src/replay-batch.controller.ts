import { tenantDeliveriesPath } from '@millrace/contracts';
import { Controller, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { InternalProxy } from './internal-proxy.ts';
import { WebhookManagement } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** Bytes of a filter: an endpoint, a status, two times. */
const filterBytesMax = 4 * 1024;

/** `POST /v1/deliveries:replay`. One colon begins a parameter, two are a colon. */
@Controller('v1/deliveries::replay')
export class ReplayBatchController {
  constructor(
    private readonly proxy: InternalProxy,
    private readonly webhooks: WebhookManagement,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  replay(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const deliveries = tenantDeliveriesPath.replace(':tenant', this.requests.tenantOf(request));
    return this.proxy.pass(request, reply, {
      service: this.webhooks,
      what: 'the list of deliveries',
      method: 'POST',
      path: `${deliveries}/replay`,
      bodyBytesMax: filterBytesMax,
    });
  }
}
