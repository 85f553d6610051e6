import { Readable } from 'node:stream';

import { errorCodes, inboundSourceIdSchema } from '@millrace/contracts';
import { Controller, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { inboundBytesMaxOf } from './core/inbound-provider.ts';
import type { InboundSource } from './core/inbound-source.ts';
import { ProblemError } from './core/problem.ts';
import { InboundIntake } from './inbound-intake.ts';
import { contentTypeOf } from './inbound-route.ts';
import { InboundSources } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `/v1/inbound/{source}`: what other systems send, signed in their own ways. */
@Controller('v1/inbound')
export class InboundController {
  constructor(
    private readonly sources: InboundSources,
    private readonly intake: InboundIntake,
    private readonly requests: RequestFacts,
  ) {}

  @Post(':source')
  async receive(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('source') id: string,
  ): Promise<void> {
    const source = await this.sourceOf(id);
    const body = await bytesOf(request.body, inboundBytesMaxOf(source.provider));
    const context = this.requests.contextOf(request);
    const header = headerOf(request);
    const outcome = await this.intake.take({ source, request: { header, body }, context });
    void reply.status(outcome.status).send(outcome.body);
  }

  private async sourceOf(id: string): Promise<InboundSource> {
    const isId = inboundSourceIdSchema.safeParse(id).success;
    const source = isId ? await this.sources.receiving(id) : null;
    if (source === null) throw new ProblemError('not_found', 'there is no source of this id');
    return source;
  }
}

function headerOf(request: FastifyRequest): (name: string) => string | undefined {
  return (name) => {
    if (name === 'content-type') return contentTypeOf(request);
    const value = request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
}

/** @throws ProblemError for one above the limit: the rest of it is not read. */
async function bytesOf(body: unknown, bytesMax: number): Promise<Buffer> {
  if (!(body instanceof Readable)) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Who is refused is to hear why: that ends the connection, not this.
  const stream: AsyncIterable<Buffer> = body.iterator({ destroyOnReturn: false });
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > bytesMax) {
      throw new ProblemError('payload_too_large', errorCodes.payload_too_large.title);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
