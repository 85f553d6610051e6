import {
  forkSubmissionSchema,
  httpHeaders,
  jobIdSchema,
  type ForkComparison,
} from '@millrace/contracts';
import { Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { idempotencyKeyOf } from './core/idempotency-key.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { JobForks } from './job-forks.ts';
import type { JobName } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `/v1/jobs/{id}/fork`: an agent's run again from one of its steps on, and what came of it. */
@Controller('v1/jobs/:id/fork')
export class JobForksController {
  constructor(
    private readonly forks: JobForks,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  async make(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') given: string,
  ): Promise<void> {
    const { view, replayed } = await this.forks.make({
      source: this.nameOf(request, given),
      fork: parseInput(forkSubmissionSchema, request.body),
      idempotencyKey: idempotencyKeyOf(request.headers[httpHeaders.idempotencyKey]),
      context: this.requests.contextOf(request),
    });
    if (replayed) void reply.header(httpHeaders.idempotentReplayed, 'true');
    void reply.status(202).header('location', `/v1/jobs/${view.id}`).send(view);
  }

  @Get()
  compare(@Req() request: FastifyRequest, @Param('id') given: string): Promise<ForkComparison> {
    const name = this.nameOf(request, given);
    return this.forks.compare(name, this.requests.contextOf(request));
  }

  private nameOf(request: FastifyRequest, given: string): JobName {
    const tenant = this.requests.tenantOf(request);
    const id = jobIdSchema.safeParse(given);
    if (!id.success) throw new ProblemError('not_found', 'there is no job of this id');
    return { tenant, id: id.data };
  }
}
