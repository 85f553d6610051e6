import { jobIdSchema } from '@millrace/contracts';
import { Controller, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { JobCancel } from './job-cancel.ts';
import { RequestFacts } from './request-facts.ts';

/** `POST /v1/jobs/{id}/cancel`. */
@Controller('v1/jobs/:id/cancel')
export class JobCancelController {
  constructor(
    private readonly cancel: JobCancel,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  async request(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') given: string,
  ): Promise<void> {
    const id = jobIdSchema.safeParse(given);
    const tenant = this.requests.tenantOf(request);
    const context = this.requests.contextOf(request);
    const view = id.success ? await this.cancel.request({ tenant, id: id.data }, context) : null;
    if (view === null) throw new ProblemError('not_found', 'there is no job of this id');
    void reply.status(202).header('location', `/v1/jobs/${view.id}`).send(view);
  }
}
