import { randomUUID } from 'node:crypto';

import {
  assertNever,
  httpHeaders,
  redeliverySubmissionSchema,
  type RedeliveryList,
  type RedeliveryView,
} from '@millrace/contracts';
import { Logger, names } from '@millrace/runtime';
import { Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { idempotencyKeyOf } from './core/idempotency-key.ts';
import { pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { orderRedelivery, redeliveryIdOf, redeliveryQuerySchema } from './core/redelivery.ts';
import { Clock, Redeliveries, type NewRedelivery, type RedeliveryStart } from './ports.ts';
import { RedeliveryPass } from './redelivery-pass.ts';
import { RequestFacts } from './request-facts.ts';

const idPattern = /^rdl_[0-9a-f]{32}$/;

/** `/v1/redeliveries`: a tenant is told again how its own jobs ended. */
@Controller('v1/redeliveries')
export class RedeliveriesController {
  constructor(
    private readonly redeliveries: Redeliveries,
    private readonly pass: RedeliveryPass,
    private readonly requests: RequestFacts,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  @Post()
  async start(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const tenant = this.requests.tenantOf(request);
    const asked = parseInput(redeliverySubmissionSchema, request.body);
    const key = idempotencyKeyOf(request.headers[httpHeaders.idempotencyKey]);
    const createdAt = this.clock.now();
    const redelivery = {
      tenant,
      id: key === null ? randomId() : redeliveryIdOf(key),
      order: orderRedelivery(asked, createdAt),
      createdAt,
    };
    const { replayed, view } = viewOf(await this.redeliveries.start(redelivery));
    if (replayed) void reply.header(httpHeaders.idempotentReplayed, 'true');
    else this.describe(redelivery, request);
    this.pass.wake();
    void reply.status(202).header('location', `/v1/redeliveries/${view.id}`).send(view);
  }

  @Get()
  async list(@Req() request: FastifyRequest): Promise<RedeliveryList> {
    const query = parseInput(redeliveryQuerySchema, request.query);
    const found = await this.redeliveries.list(this.requests.tenantOf(request), query);
    return pageOf(found, query.limit, ({ created_at }) => Date.parse(created_at));
  }

  /** Another tenant's redelivery is not there, as one that never was. */
  @Get(':id')
  async get(@Req() request: FastifyRequest, @Param('id') id: string): Promise<RedeliveryView> {
    const tenant = this.requests.tenantOf(request);
    const found = idPattern.test(id) ? await this.redeliveries.find(tenant, id) : null;
    if (found === null) throw new ProblemError('not_found', 'there is no redelivery of this id');
    return found;
  }

  private describe({ id: redelivery_id, order, tenant }: NewRedelivery, request: object): void {
    const { since, until } = order;
    const facts = { event: names.event.redeliveryStarted, tenant, redelivery_id, since, until };
    const context = this.requests.contextOf(request);
    this.log.info({ ...facts, context }, 'ends are to be told again');
  }
}

function randomId(): string {
  return `rdl_${randomUUID().replaceAll('-', '')}`;
}

/** @throws ProblemError for one that was not started. */
function viewOf(start: RedeliveryStart): { replayed: boolean; view: RedeliveryView } {
  switch (start.kind) {
    case 'started':
      return { replayed: false, view: start.view };
    case 'standing':
      return { replayed: true, view: start.view };
    case 'conflict':
      throw new ProblemError('idempotency_conflict', 'this key was used with other times');
    case 'busy':
      throw new ProblemError('limit_reached', `${start.id} runs: one of a tenant runs at a time`);
    case 'limit':
      throw new ProblemError('limit_reached', 'there were too many redeliveries within 30 days');
    default:
      return assertNever(start);
  }
}
