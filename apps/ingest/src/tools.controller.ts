import {
  toolNameSchema,
  toolsPath,
  toolSubmissionBytesMax,
  type TenantId,
} from '@millrace/contracts';
import { Controller, Delete, Get, Param, Put, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { InternalProxy, type Proxied } from './internal-proxy.ts';
import { ToolRegistry } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `/v1/tools`: the tools of a tenant, which tool-runner keeps. */
@Controller('v1/tools')
export class ToolsController {
  constructor(
    private readonly proxy: InternalProxy,
    private readonly registry: ToolRegistry,
    private readonly requests: RequestFacts,
  ) {}

  @Get()
  list(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const path = toolsPathOf(this.requests.tenantOf(request));
    return this.proxy.pass(request, reply, { ...this.registered, method: 'GET', path });
  }

  @Get(':name')
  get(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('name') name: string,
  ): Promise<void> {
    const path = this.pathOf(request, name);
    return this.proxy.pass(request, reply, { ...this.registered, method: 'GET', path });
  }

  @Put(':name')
  put(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('name') name: string,
  ): Promise<void> {
    const path = this.pathOf(request, name);
    const bodyBytesMax = toolSubmissionBytesMax;
    return this.proxy.pass(request, reply, {
      ...this.registered,
      method: 'PUT',
      path,
      bodyBytesMax,
    });
  }

  @Delete(':name')
  remove(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('name') name: string,
  ): Promise<void> {
    const path = this.pathOf(request, name);
    return this.proxy.pass(request, reply, { ...this.registered, method: 'DELETE', path });
  }

  private get registered(): Pick<Proxied, 'service' | 'what'> {
    return { service: this.registry, what: 'the registry of tools' };
  }

  /** @throws ProblemError for a name that no tool can have. */
  private pathOf(request: FastifyRequest, given: string): string {
    const tools = toolsPathOf(this.requests.tenantOf(request));
    const name = toolNameSchema.safeParse(given);
    if (name.success) return `${tools}/${name.data}`;
    const message = 'must be 1 to 64 characters of A-Z a-z 0-9 _ -, a letter first';
    const errors = [{ path: 'name', message }];
    throw new ProblemError('invalid_request', 'no tool can have this name', errors);
  }
}

function toolsPathOf(tenant: TenantId): string {
  return toolsPath.replace(':tenant', tenant);
}
