import { randomBytes } from 'node:crypto';

import {
  inboundSecretSchema,
  inboundSourceChangeSchema,
  inboundSourceIdSchema,
  inboundSourceSubmissionSchema,
  inboundSourcesPerTenantMax,
  type InboundSourceList,
  type InboundSourceView,
} from '@millrace/contracts';
import { Controller, Delete, Get, HttpCode, Param, Patch, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import {
  changedSource,
  inboundSourceView,
  newInboundSource,
  withInboundSecret,
  type InboundSource,
  type InboundSourceState,
} from './core/inbound-source.ts';
import { pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { tenantQuerySchema } from './core/tenant-query.ts';
import { InboundSources } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** Random bytes of a source's id: it is an address that nobody may find by trying. */
const idBytes = 24;

/** `/v1/inbound-sources`: where a tenant's other systems send their webhooks. */
@Controller('v1/inbound-sources')
export class InboundSourcesController {
  constructor(
    private readonly sources: InboundSources,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  async create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const given = parseInput(inboundSourceSubmissionSchema, request.body);
    const tenant = this.requests.tenantOf(request);
    const id = `src_${randomBytes(idBytes).toString('base64url')}`;
    const source = await this.sources.create(newInboundSource(given, { id, tenant }));
    if (source === null) {
      const detail = `there are ${inboundSourcesPerTenantMax} sources: delete one first`;
      throw new ProblemError('limit_reached', detail);
    }
    void reply.status(201).header('location', `/v1/inbound-sources/${id}`);
    void reply.send(inboundSourceView(source));
  }

  @Get()
  async list(@Req() request: FastifyRequest): Promise<InboundSourceList> {
    const query = parseInput(tenantQuerySchema, request.query);
    const found = await this.sources.list(this.requests.tenantOf(request), query);
    const views = found.map(inboundSourceView);
    return pageOf(views, query.limit, ({ created_at }) => Date.parse(created_at));
  }

  @Get(':id')
  async get(@Req() request: FastifyRequest, @Param('id') id: string): Promise<InboundSourceView> {
    return inboundSourceView(await this.find(request, id));
  }

  @Patch(':id')
  async change(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
  ): Promise<InboundSourceView> {
    const change = parseInput(inboundSourceChangeSchema, request.body);
    const source = await this.find(request, id);
    return this.write(source, changedSource(source, change));
  }

  @Post(':id/secrets')
  async addSecret(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
  ): Promise<InboundSourceView> {
    const given = parseInput(inboundSecretSchema, request.body);
    const { secret, keep_previous: keepPrevious } = given;
    const source = await this.find(request, id);
    return this.write(source, withInboundSecret(source, { secret, keepPrevious }));
  }

  @Delete(':id')
  @HttpCode(204)
  async remove(@Req() request: FastifyRequest, @Param('id') id: string): Promise<void> {
    const tenant = this.requests.tenantOf(request);
    const isId = inboundSourceIdSchema.safeParse(id).success;
    if (!isId || !(await this.sources.remove(tenant, id))) throw noSource();
  }

  private async write(source: InboundSource, to: InboundSourceState): Promise<InboundSourceView> {
    const changed = await this.sources.change(source, to);
    if (changed !== null) return inboundSourceView(changed);
    throw new ProblemError('changed_meanwhile', 'the source has changed: read it again');
  }

  private async find(request: FastifyRequest, id: string): Promise<InboundSource> {
    const tenant = this.requests.tenantOf(request);
    const isId = inboundSourceIdSchema.safeParse(id).success;
    const source = isId ? await this.sources.find(tenant, id) : null;
    if (source === null) throw noSource();
    return source;
  }
}

function noSource(): ProblemError {
  return new ProblemError('not_found', 'there is no source of this id');
}
