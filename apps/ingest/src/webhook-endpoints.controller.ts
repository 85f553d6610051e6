import {
  endpointIdSchema,
  endpointSubmissionBytesMax,
  webhookEndpointsPath,
} from '@millrace/contracts';
import { Controller, Delete, Get, Param, Patch, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { InternalProxy, type ProxiedAsk, type ProxiedRows } from './internal-proxy.ts';
import { WebhookManagement } from './ports.ts';

/** Bytes of a rotation or a recovery: a secret, two times. */
const actionBytesMax = 4 * 1024;

/** `/v1/webhook-endpoints`: the receivers of a tenant, which webhook-dispatcher keeps. */
@Controller('v1/webhook-endpoints')
export class WebhookEndpointsController {
  private readonly rows: ProxiedRows;

  constructor(
    private readonly proxy: InternalProxy,
    service: WebhookManagement,
  ) {
    this.rows = {
      service,
      what: 'the registry of webhook endpoints',
      path: webhookEndpointsPath,
      idSchema: endpointIdSchema,
      unknown: 'there is no endpoint of this id',
    };
  }

  @Get()
  list(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.pass(request, reply, { method: 'GET' });
  }

  @Post()
  create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.pass(request, reply, {
      method: 'POST',
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
    return this.pass(request, reply, { method: 'GET', id });
  }

  @Patch(':id')
  change(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, {
      method: 'PATCH',
      id,
      bodyBytesMax: endpointSubmissionBytesMax,
    });
  }

  @Delete(':id')
  remove(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    return this.pass(request, reply, { method: 'DELETE', id });
  }

  @Post(':id/:action')
  act(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param() { action, id }: { readonly action: string; readonly id: string },
  ): Promise<void> {
    switch (action) {
      case 'test':
      case 'pause':
      case 'resume':
      case 'enable':
        return this.pass(request, reply, { method: 'POST', id, action });
      case 'rotate-secret':
      case 'recover':
        return this.pass(request, reply, {
          method: 'POST',
          id,
          action,
          bodyBytesMax: actionBytesMax,
        });
      default:
        throw new ProblemError('not_found', 'nothing of this name can be done to an endpoint');
    }
  }

  private pass(request: FastifyRequest, reply: FastifyReply, ask: ProxiedAsk): Promise<void> {
    return this.proxy.passRows(request, reply, { rows: this.rows, ask });
  }
}
