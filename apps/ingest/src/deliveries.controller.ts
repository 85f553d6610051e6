import { deliveryIdSchema, tenantDeliveriesPath } from '@millrace/contracts';
import { Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { InternalProxy, type ProxiedAsk, type ProxiedRows } from './internal-proxy.ts';
import { WebhookManagement } from './ports.ts';

/** What `GET /v1/deliveries` takes. */
const listParameters = ['endpoint', 'status', 'job_id', 'since', 'until', 'limit', 'cursor'];

/** `/v1/deliveries`: the webhooks of a tenant, which webhook-dispatcher keeps. */
@Controller('v1/deliveries')
export class DeliveriesController {
  private readonly rows: ProxiedRows;

  constructor(
    private readonly proxy: InternalProxy,
    service: WebhookManagement,
  ) {
    this.rows = {
      service,
      what: 'the list of deliveries',
      path: tenantDeliveriesPath,
      idSchema: deliveryIdSchema,
      unknown: 'there is no delivery of this id',
    };
  }

  @Get()
  list(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.pass(request, reply, { method: 'GET', parameters: listParameters });
  }

  @Get(':id')
  get(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'GET', id });
  }

  @Get(':id/attempts')
  attempts(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'GET', id, action: 'attempts' });
  }

  @Post(':id/replay')
  replay(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'POST', id, action: 'replay' });
  }

  private pass(request: FastifyRequest, reply: FastifyReply, ask: ProxiedAsk): Promise<void> {
    return this.proxy.passRows(request, reply, { rows: this.rows, ask });
  }
}
