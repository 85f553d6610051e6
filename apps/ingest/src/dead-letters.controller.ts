import {
  httpHeaders,
  redriveSubmissionSchema,
  type DeadLetterList,
  type DeadLetterView,
} from '@millrace/contracts';
import { Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { deadLetterQuerySchema } from './core/dead-letter-query.ts';
import type { LetterOwner } from './core/dead-letter.ts';
import { pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { letterOwner } from './core/principal.ts';
import { ProblemError } from './core/problem.ts';
import { DeadLetterRedrive } from './dead-letter-redrive.ts';
import { DeadLetters } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

const idPattern = /^dl_[0-9a-f]{32}$/;

/** `/v1/dead-letters`: records that nobody could use, a tenant's; for the operator, nobody's. */
@Controller('v1/dead-letters')
export class DeadLettersController {
  constructor(
    private readonly letters: DeadLetters,
    private readonly redriving: DeadLetterRedrive,
    private readonly requests: RequestFacts,
  ) {}

  @Get()
  async list(@Req() request: FastifyRequest): Promise<DeadLetterList> {
    const query = parseInput(deadLetterQuerySchema, request.query);
    const found = await this.letters.list(this.ownerOf(request), query);
    return pageOf(found, query.limit, ({ at }) => Date.parse(at));
  }

  /** Another tenant's letter is not there, as one that never was. */
  @Get(':id')
  async get(@Req() request: FastifyRequest, @Param('id') id: string): Promise<DeadLetterView> {
    const owner = this.ownerOf(request);
    const letter = idPattern.test(id) ? await this.letters.find(owner, id) : null;
    if (letter === null) throw noLetter();
    return letter;
  }

  @Post(':id/redrive')
  async redrive(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<void> {
    const owner = this.ownerOf(request);
    const { after } = parseInput(redriveSubmissionSchema, request.body ?? {});
    const context = this.requests.contextOf(request);
    const asked = { owner, id, after, context };
    const redriven = idPattern.test(id) ? await this.redriving.redrive(asked) : null;
    if (redriven === null) throw noLetter();
    if (redriven.replayed) void reply.header(httpHeaders.idempotentReplayed, 'true');
    void reply.status(202).header('location', `/v1/dead-letters/${id}`).send(redriven.view);
  }

  private ownerOf(request: FastifyRequest): LetterOwner {
    return letterOwner(this.requests.principalOf(request));
  }
}

function noLetter(): ProblemError {
  return new ProblemError('not_found', 'there is no dead letter of this id');
}
