import {
  endpointIdSchema,
  endpointRecoverySchema,
  endpointSecretRotationSchema,
  parseRequest,
  ProblemError,
  tenantIdSchema,
  webhookEndpointChangeSchema,
  webhookEndpointsPath,
  webhookEndpointSubmissionSchema,
  type EndpointTest,
  type ReplayBatchAnswer,
  type WebhookEndpointList,
  type WebhookEndpointView,
  type WebhookEndpointWithSecret,
} from '@millrace/contracts';
import { extractTrace, injectTrace, InternalKeyGuard } from '@millrace/runtime';
import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
  UseFilters,
  UseGuards,
} from '@nestjs/common';

import { endpointPageOf } from './core/delivery-query.ts';
import { viewOf, type RegisteredEndpoint } from './core/registered-endpoint.ts';
import {
  EndpointAdmin,
  type EndpointName,
  type EndpointWithNewSecret,
} from './endpoint-admin.ts';
import { EndpointRegistry, type Replayed } from './management-ports.ts';
import { ProblemFilter } from './problem-filter.ts';

/** A tenant's endpoints, for ingest, which knows whose a request is. */
@Controller(webhookEndpointsPath.slice(1))
@UseGuards(InternalKeyGuard)
@UseFilters(ProblemFilter)
export class WebhookEndpointsController {
  constructor(
    private readonly admin: EndpointAdmin,
    private readonly registry: EndpointRegistry,
  ) {}

  @Get()
  async list(
    @Param('tenant') tenant: string,
    @Query() given: unknown,
  ): Promise<WebhookEndpointList> {
    const { after, limit } = endpointPageOf(given);
    const page = { after, limit: limit + 1 };
    const found = await this.registry.list(tenantOf(tenant), page);
    const data = found.slice(0, limit).map(shown);
    const last = found.length > limit ? data.at(-1) : undefined;
    return { data, next_cursor: last?.id ?? null };
  }

  @Post()
  @HttpCode(201)
  async create(
    @Param('tenant') tenant: string,
    @Body() body: unknown,
  ): Promise<WebhookEndpointWithSecret> {
    const submission = parseRequest(webhookEndpointSubmissionSchema, body);
    return withSecret(await this.admin.create(tenantOf(tenant), submission));
  }

  @Get(':id')
  async get(@Param() params: Params): Promise<WebhookEndpointView> {
    return shown(await this.admin.get(nameOf(params)));
  }

  @Patch(':id')
  async change(@Param() params: Params, @Body() body: unknown): Promise<WebhookEndpointView> {
    const change = parseRequest(webhookEndpointChangeSchema, body);
    return shown(await this.admin.change(nameOf(params), change));
  }

  @Delete(':id')
  @HttpCode(204)
  async remove(@Param() params: Params): Promise<void> {
    await this.admin.remove(nameOf(params));
  }

  @Post(':id/rotate-secret')
  @HttpCode(200)
  async rotate(
    @Param() params: Params,
    @Body() body: unknown,
  ): Promise<WebhookEndpointWithSecret> {
    const rotation = parseRequest(endpointSecretRotationSchema, body ?? {});
    return withSecret(await this.admin.rotateSecret(nameOf(params), rotation));
  }

  @Post(':id/test')
  @HttpCode(202)
  test(
    @Param() params: Params,
    @Headers() headers: Record<string, string>,
  ): Promise<EndpointTest> {
    return this.admin.test(nameOf(params), injectTrace(extractTrace(headers)));
  }

  @Post(':id/pause')
  @HttpCode(200)
  async pause(@Param() params: Params): Promise<WebhookEndpointView> {
    return shown(await this.admin.pause(nameOf(params)));
  }

  @Post(':id/resume')
  @HttpCode(200)
  async resume(@Param() params: Params): Promise<WebhookEndpointView> {
    return shown(await this.admin.resume(nameOf(params)));
  }

  @Post(':id/enable')
  @HttpCode(200)
  async enable(@Param() params: Params): Promise<WebhookEndpointView> {
    return shown(await this.admin.enable(nameOf(params)));
  }

  @Post(':id/recover')
  @HttpCode(202)
  async recover(@Param() params: Params, @Body() body: unknown): Promise<ReplayBatchAnswer> {
    const recovery = parseRequest(endpointRecoverySchema, body ?? {});
    return replayAnswerOf(await this.admin.recover(nameOf(params), recovery));
  }
}

interface Params {
  readonly tenant: string;
  readonly id: string;
}

export function tenantOf(text: string): string {
  const tenant = tenantIdSchema.safeParse(text);
  if (!tenant.success) throw new ProblemError('not_found', 'there is no tenant of this id');
  return tenant.data;
}

export function replayAnswerOf({ count, more, until }: Replayed): ReplayBatchAnswer {
  return { replayed: count, more, until: until.toISOString() };
}

function nameOf(params: Params): EndpointName {
  const id = endpointIdSchema.safeParse(params.id);
  if (!id.success) throw new ProblemError('not_found', 'there is no endpoint of this id');
  return { tenant: tenantOf(params.tenant), id: id.data };
}

function shown(endpoint: RegisteredEndpoint): WebhookEndpointView {
  return viewOf(endpoint, Date.now());
}

function withSecret({ endpoint, secret }: EndpointWithNewSecret): WebhookEndpointWithSecret {
  return { ...shown(endpoint), secret };
}
