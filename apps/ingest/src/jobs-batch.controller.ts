import {
  httpHeaders,
  jobBatchEnvelopeSchema,
  type JobBatchAnswer,
} from '@millrace/contracts';
import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

import { batchKeysOf } from './core/idempotency-key.ts';
import { parseInput } from './core/parse-body.ts';
import { JobBatch } from './job-batch.ts';
import { RequestFacts } from './request-facts.ts';

/** `POST /v1/jobs:batch`. One colon begins a parameter, two are a colon. */
@Controller('v1/jobs::batch')
export class JobsBatchController {
  constructor(
    private readonly batch: JobBatch,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  @HttpCode(200)
  async submit(@Req() request: FastifyRequest): Promise<JobBatchAnswer> {
    const { jobs } = parseInput(jobBatchEnvelopeSchema, request.body);
    const results = await this.batch.take({
      tenant: this.requests.tenantOf(request),
      jobs,
      keyOf: batchKeysOf(request.headers[httpHeaders.idempotencyKey], jobs.length),
      context: this.requests.contextOf(request),
    });
    return { results };
  }
}
