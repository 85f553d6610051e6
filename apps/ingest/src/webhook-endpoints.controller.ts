import {
  endpointIdSchema,
  endpointSubmissionBytesMax,
  webhookEndpointsPath,
} from '@millrace/contracts';
import { Controller, Delete, Get, Param, Patch, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { InternalProxy, type Proxied } from './internal-proxy.ts';
import { WebhookManagement } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** Bytes of a rotation or a recovery: a secret, two times. */
const actionBytesMax = 4 * 1024;

/** `/v1/webhook-endpoints`: the receivers of a tenant, which webhook-dispatcher keeps. */
@Controller('v1/webhook-endpoints')
export class WebhookEndpointsController {
  constructor(
    private readonly proxy: InternalProxy,
    private readonly webhooks: WebhookManagement,
    private readonly requests: RequestFacts,
  ) {}

  @Get()
  list(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.pass(request, reply, { method: 'GET', path: this.pathOf(request) });
  }

  @Post()
  create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.pass(request, reply, {
      method: 'POST',
      path: this.pathOf(request),
      bodyBytesMax: endpointSubmissionBytesMax,
      madeUnder: '/v1/webhook-endpoints',
    });
  }

  @Get(':id')
  get(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'GET', path: this.pathOf(request, id) });
  }

  @Patch(':id')
  change(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, {
      method: 'PATCH',
      path: this.pathOf(request, id),
      bodyBytesMax: endpointSubmissionBytesMax,
    });
  }

  @Delete(':id')
  remove(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'DELETE', path: this.pathOf(request, id) });
  }

  @Post(':id/:action')
  act(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param() { action, id }: { readonly action: string; readonly id: string },
  ): Promise<void> {
    const path = `${this.pathOf(request, id)}/${action}`;
    switch (action) {
      case 'test':
      case 'pause':
      case 'resume':
      case 'enable':
        return this.pass(request, reply, { method: 'POST', path });
      case 'rotate-secret':
      case 'recover':
        return this.pass(request, reply, { method: 'POST', path, bodyBytesMax: actionBytesMax });
      default:
        throw new ProblemError('not_found', 'nothing of this name can be done to an endpoint');
    }
  }

  private pass(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: Omit<Proxied, 'service' | 'what'>,
  ): Promise<void> {
    const what = 'the registry of webhook endpoints';
    return this.proxy.pass(request, reply, { service: this.webhooks, what, ...asked });
  }

  /** @throws ProblemError for an id that no endpoint can have. */
  private pathOf(request: FastifyRequest, given?: string): string {
    const endpoints = webhookEndpointsPath.replace(':tenant', this.requests.tenantOf(request));
    if (given === undefined) return endpoints;
    const id = endpointIdSchema.safeParse(given);
    if (id.success) return `${endpoints}/${id.data}`;
    throw new ProblemError('not_found', 'there is no endpoint of this id');
  }
}
