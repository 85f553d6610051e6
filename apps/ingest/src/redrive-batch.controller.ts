import { redriveBatchSchema, type RedriveBatchAnswer } from '@millrace/contracts';
import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

import { parseInput } from './core/parse-body.ts';
import { letterOwner } from './core/principal.ts';
import { RedriveBatches } from './redrive-batches.ts';
import { RequestFacts } from './request-facts.ts';

/** `POST /v1/dead-letters:redrive`. One colon begins a parameter, two are a colon. */
@Controller('v1/dead-letters::redrive')
export class RedriveBatchController {
  constructor(
    private readonly batches: RedriveBatches,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  @HttpCode(200)
  redrive(@Req() request: FastifyRequest): Promise<RedriveBatchAnswer> {
    return this.batches.redrive({
      owner: letterOwner(this.requests.principalOf(request)),
      asked: parseInput(redriveBatchSchema, request.body ?? {}),
      context: this.requests.contextOf(request),
    });
  }
}
