import { sessionIdSchema, sessionJobsMax, type SessionView } from '@millrace/contracts';
import { Controller, Get, Param, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { Jobs } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `/v1/sessions/{id}`: what a session has come to. */
@Controller('v1/sessions')
export class SessionsController {
  constructor(
    private readonly jobs: Jobs,
    private readonly requests: RequestFacts,
  ) {}

  @Get(':id')
  async get(@Req() request: FastifyRequest, @Param('id') given: string): Promise<SessionView> {
    const tenant = this.requests.tenantOf(request);
    const id = sessionIdSchema.safeParse(given);
    if (!id.success) throw noSession();
    const query = { session_id: id.data, limit: sessionJobsMax };
    const [turns, { jobs }] = await Promise.all([
      this.jobs.turnsOf(tenant, id.data),
      this.jobs.list(tenant, query),
    ]);
    // The jobs of an old one are gone, and of one whose first turn waits none has been counted.
    if (turns === null && jobs.length === 0) throw noSession();
    return { id: id.data, turns: turns ?? 0, jobs: jobs.slice(0, sessionJobsMax) };
  }
}

function noSession(): ProblemError {
  return new ProblemError('not_found', 'there is no session of this id');
}
