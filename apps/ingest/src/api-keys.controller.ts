import {
  apiKeySubmissionSchema,
  type ApiKeyList,
  type ApiKeyView,
  type NewApiKey,
  type TenantId,
} from '@millrace/contracts';
import { Controller, Delete, Get, Param, Post, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

import { pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { managedTenant } from './core/principal.ts';
import { apiKeyQuerySchema, keyOwnerQuerySchema } from './core/tenant-query.ts';
import { ApiKeys } from './ports.ts';
import { RequestFacts } from './request-facts.ts';
import { TenantAdmin } from './tenant-admin.ts';

/** `/v1/api-keys`: a tenant's own keys; the operator says whose. */
@Controller('v1/api-keys')
export class ApiKeysController {
  constructor(
    private readonly admin: TenantAdmin,
    private readonly keys: ApiKeys,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  create(@Req() request: FastifyRequest): Promise<NewApiKey> {
    const { label, tenant } = parseInput(apiKeySubmissionSchema, request.body);
    return this.admin.createKey(this.ownerOf(request, tenant), label);
  }

  @Get()
  async list(@Req() request: FastifyRequest): Promise<ApiKeyList> {
    const { tenant, ...query } = parseInput(apiKeyQuerySchema, request.query);
    const found = await this.keys.list(this.ownerOf(request, tenant), query);
    return pageOf(found, query.limit, ({ created_at }) => Date.parse(created_at));
  }

  @Delete(':id')
  revoke(@Req() request: FastifyRequest, @Param('id') id: string): Promise<ApiKeyView> {
    const { tenant } = parseInput(keyOwnerQuerySchema, request.query);
    return this.admin.revokeKey(this.ownerOf(request, tenant), id);
  }

  private ownerOf(request: FastifyRequest, named: TenantId | undefined): TenantId {
    return managedTenant(this.requests.principalOf(request), named);
  }
}
