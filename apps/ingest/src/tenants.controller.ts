import {
  secretRotationSchema,
  tenantIdSchema,
  tenantSubmissionSchema,
  type TenantId,
  type TenantList,
  type TenantView,
  type TenantWithSecret,
} from '@millrace/contracts';
import { Controller, Delete, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { requireOperator } from './core/principal.ts';
import { ProblemError } from './core/problem.ts';
import { tenantQuerySchema } from './core/tenant-query.ts';
import { tenantView } from './core/tenant.ts';
import { Tenants } from './ports.ts';
import { RequestFacts } from './request-facts.ts';
import { TenantAdmin } from './tenant-admin.ts';

/** `/v1/tenants`: the operator's alone. */
@Controller('v1/tenants')
export class TenantsController {
  constructor(
    private readonly admin: TenantAdmin,
    private readonly tenants: Tenants,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  async create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    this.requireOperator(request);
    const { id } = parseInput(tenantSubmissionSchema, request.body);
    const { tenant, secret } = await this.admin.create(id);
    const answer: TenantWithSecret = { ...tenantView(tenant), webhook_secret: secret };
    void reply.status(201).header('location', `/v1/tenants/${id}`).send(answer);
  }

  @Get()
  async list(@Req() request: FastifyRequest): Promise<TenantList> {
    this.requireOperator(request);
    const query = parseInput(tenantQuerySchema, request.query);
    const found = await this.tenants.list(query);
    const page = pageOf(found, query.limit, ({ createdAt }) => createdAt.getTime());
    return { ...page, data: page.data.map(tenantView) };
  }

  @Get(':id')
  async get(@Req() request: FastifyRequest, @Param('id') given: string): Promise<TenantView> {
    this.requireOperator(request);
    const tenant = await this.tenants.find(tenantId(given));
    if (tenant === null) throw noTenant();
    return tenantView(tenant);
  }

  @Delete(':id')
  async disable(@Req() request: FastifyRequest, @Param('id') given: string): Promise<TenantView> {
    this.requireOperator(request);
    return tenantView(await this.admin.disable(tenantId(given)));
  }

  @Post(':id/enable')
  @HttpCode(200)
  async enable(@Req() request: FastifyRequest, @Param('id') given: string): Promise<TenantView> {
    this.requireOperator(request);
    return tenantView(await this.admin.enable(tenantId(given)));
  }

  @Post(':id/rotate-webhook-secret')
  @HttpCode(200)
  async rotate(
    @Req() request: FastifyRequest,
    @Param('id') given: string,
  ): Promise<TenantWithSecret> {
    this.requireOperator(request);
    const rotation = parseInput(secretRotationSchema, request.body ?? {});
    const { tenant, secret } = await this.admin.rotateSecret(tenantId(given), rotation);
    return { ...tenantView(tenant), webhook_secret: secret };
  }

  /** First in every route: what a tenant's key may not do tells it nothing. */
  private requireOperator(request: FastifyRequest): void {
    requireOperator(this.requests.principalOf(request));
  }
}

function tenantId(given: string): TenantId {
  const id = tenantIdSchema.safeParse(given);
  if (!id.success) throw noTenant();
  return id.data;
}

function noTenant(): ProblemError {
  return new ProblemError('not_found', 'there is no tenant of this id');
}
