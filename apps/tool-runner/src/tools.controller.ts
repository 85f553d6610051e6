import {
  jobListLimitDefault,
  jobListLimitMax,
  ProblemError,
  tenantIdSchema,
  toolNameSchema,
  toolsPath,
  type ToolList,
  type ToolView,
} from '@millrace/contracts';
import { checkUrl, type EgressPolicy } from '@millrace/egress';
import { InternalKeyGuard } from '@millrace/runtime';
import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  Param,
  Put,
  Query,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { z } from 'zod';

import { checkTool } from './core/check-tool.ts';
import { schemaError } from './json-schemas.ts';
import { ToolRegistry } from './ports.ts';
import { ProblemFilter } from './problem-filter.ts';

/** The ranges that tools may lie in. */
export const egressPolicyToken = Symbol('egress policy');

const listQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(jobListLimitMax).default(jobListLimitDefault),
  cursor: z
    .string()
    .max(128)
    .transform((text) => Buffer.from(text, 'base64url').toString('utf8'))
    .pipe(toolNameSchema)
    .optional(),
});

/** A tenant's tools, for ingest, which knows whose a request is. */
@Controller(toolsPath.slice(1))
@UseGuards(InternalKeyGuard)
@UseFilters(ProblemFilter)
export class ToolsController {
  constructor(
    private readonly registry: ToolRegistry,
    @Inject(egressPolicyToken) private readonly egress: EgressPolicy,
  ) {}

  @Get()
  async list(@Param('tenant') tenant: string, @Query() given: unknown): Promise<ToolList> {
    const query = listQuerySchema.safeParse(given);
    if (!query.success) throw new ProblemError('invalid_request', 'limit or cursor is wrong');
    const { cursor, limit } = query.data;
    return this.registry.list(tenantOf(tenant), { after: cursor ?? '', limit });
  }

  @Get(':name')
  async get(@Param('tenant') tenant: string, @Param('name') name: string): Promise<ToolView> {
    const tool = await this.registry.get(tenantOf(tenant), name);
    if (tool === null) throw notFound();
    return tool;
  }

  @Put(':name')
  async put(
    @Param('tenant') tenant: string,
    @Param('name') name: string,
    @Body() body: unknown,
  ): Promise<ToolView> {
    const content = checkTool(name, body, { urlError: (url) => this.urlError(url), schemaError });
    return this.registry.put(tenantOf(tenant), name, content);
  }

  @Delete(':name')
  @HttpCode(204)
  async remove(@Param('tenant') tenant: string, @Param('name') name: string): Promise<void> {
    if (!(await this.registry.remove(tenantOf(tenant), name))) throw notFound();
  }

  private urlError(url: string): string | null {
    const check = checkUrl(url, this.egress);
    return check.ok ? null : check.detail;
  }
}

function tenantOf(text: string): string {
  const tenant = tenantIdSchema.safeParse(text);
  if (!tenant.success) throw notFound();
  return tenant.data;
}

function notFound(): ProblemError {
  return new ProblemError('not_found', 'there is no tool of this name');
}
