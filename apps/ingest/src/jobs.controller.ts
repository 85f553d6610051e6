import {
  httpHeaders,
  jobIdSchema,
  jobSubmissionSchema,
  type JobList,
  type JobView,
} from '@millrace/contracts';
import { Controller, Get, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { encodeCursor, listQuerySchema, pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { idempotencyKeyOf } from './core/idempotency-key.ts';
import { JobEvents } from './job-events.ts';
import { JobIntake } from './job-intake.ts';
import { JobReader } from './job-reader.ts';
import { Jobs, type JobName } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `/v1/jobs`: hand a job over, look at it, list them, listen to one. */
@Controller('v1/jobs')
export class JobsController {
  constructor(
    private readonly intake: JobIntake,
    private readonly jobs: Jobs,
    private readonly reader: JobReader,
    private readonly events: JobEvents,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  async submit(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { view, replayed } = await this.intake.take({
      tenant: this.requests.tenantOf(request),
      submission: parseInput(jobSubmissionSchema, request.body),
      idempotencyKey: idempotencyKeyOf(request.headers[httpHeaders.idempotencyKey]),
      context: this.requests.contextOf(request),
    });
    if (replayed) void reply.header(httpHeaders.idempotentReplayed, 'true');
    void reply.status(202).header('location', `/v1/jobs/${view.id}`).send(view);
  }

  @Get()
  async list(@Req() request: FastifyRequest): Promise<JobList> {
    const query = parseInput(listQuerySchema, request.query);
    const { jobs, lookedUntil } = await this.jobs.list(this.requests.tenantOf(request), query);
    const page = pageOf(jobs, query.limit, ({ created_at }) => Date.parse(created_at));
    return { ...page, next_cursor: page.next_cursor ?? (lookedUntil && encodeCursor(lookedUntil)) };
  }

  @Get(':id')
  async get(@Req() request: FastifyRequest): Promise<JobView> {
    return (await this.find(request)).view;
  }

  @Get(':id/events')
  async listen(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { name, view } = await this.find(request);
    this.events.open({ request, reply, name, view });
  }

  /** Another tenant's job is not there: its existence is nobody's business. */
  private async find(request: FastifyRequest): Promise<{ name: JobName; view: JobView }> {
    const id = jobIdSchema.safeParse(idParameter(request.params));
    const tenant = this.requests.tenantOf(request);
    const name = id.success ? { tenant, id: id.data } : null;
    const view = name === null ? null : await this.reader.find(name);
    if (name === null || view === null) {
      throw new ProblemError('not_found', 'there is no job of this id');
    }
    return { name, view };
  }
}

function idParameter(params: unknown): unknown {
  return typeof params === 'object' && params !== null && 'id' in params ? params.id : undefined;
}
