import { deliveryIdSchema, tenantDeliveriesPath } from '@millrace/contracts';
import { Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { InternalProxy, type Proxied } from './internal-proxy.ts';
import { WebhookManagement } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** What `GET /v1/deliveries` takes. */
const listParameters = ['endpoint', 'status', 'job_id', 'since', 'until', 'limit', 'cursor'];

/** `/v1/deliveries`: the webhooks of a tenant, which webhook-dispatcher keeps. */
@Controller('v1/deliveries')
export class DeliveriesController {
  constructor(
    private readonly proxy: InternalProxy,
    private readonly webhooks: WebhookManagement,
    private readonly requests: RequestFacts,
  ) {}

  @Get()
  list(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const path = tenantDeliveriesPath.replace(':tenant', this.requests.tenantOf(request));
    return this.pass(request, reply, { method: 'GET', path, parameters: listParameters });
  }

  @Get(':id')
  get(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'GET', path: this.pathOf(request, id) });
  }

  @Get(':id/attempts')
  attempts(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    const path = `${this.pathOf(request, id)}/attempts`;
    return this.pass(request, reply, { method: 'GET', path });
  }

  @Post(':id/replay')
  replay(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    const path = `${this.pathOf(request, id)}/replay`;
    return this.pass(request, reply, { method: 'POST', path });
  }

  private pass(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: Omit<Proxied, 'service' | 'what'>,
  ): Promise<void> {
    const what = 'the list of deliveries';
    return this.proxy.pass(request, reply, { service: this.webhooks, what, ...asked });
  }

  /** @throws ProblemError for an id that no delivery can have. */
  private pathOf(request: FastifyRequest, given: string): string {
    const deliveries = tenantDeliveriesPath.replace(':tenant', this.requests.tenantOf(request));
    const id = deliveryIdSchema.safeParse(given);
    if (id.success) return `${deliveries}/${id.data}`;
    throw new ProblemError('not_found', 'there is no delivery of this id');
  }
}
