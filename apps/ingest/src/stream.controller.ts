import {
  httpHeaders,
  isTerminal,
  streamRequestSchema,
  type JobSubmission,
  type StreamRequest,
} from '@millrace/contracts';
import { Controller, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { idempotencyKeyOf } from './core/idempotency-key.ts';
import { parseInput } from './core/parse-body.ts';
import { tokenChangeFrame, tokenEndFrames, tokenFrame } from './core/token-frames.ts';
import { JobFollower, type Followed } from './job-follower.ts';
import { JobIntake } from './job-intake.ts';
import { LiveFeed } from './ports.ts';
import { RequestFacts } from './request-facts.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
import { SseConnections } from './sse-connections.ts';

/**
 * `POST /v1/stream`: the article's streaming pattern over a durable job. Going away is not
 * cancelling: the job goes on and can be read by its id.
 */
@Controller('v1/stream')
export class StreamController {
  constructor(
    private readonly intake: JobIntake,
    private readonly follower: JobFollower,
    private readonly connections: SseConnections,
    private readonly feed: LiveFeed,
    private readonly requests: RequestFacts,
    private readonly inFlight: RequestsInFlight,
  ) {}

  @Post()
  async stream(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const tenant = this.requests.tenantOf(request);
    this.connections.assertRoom(tenant);
    const { view, replayed } = await this.intake.take({
      tenant,
      submission: streamedSubmission(parseInput(streamRequestSchema, request.body)),
      idempotencyKey: idempotencyKeyOf(request.headers[httpHeaders.idempotencyKey]),
      context: this.requests.contextOf(request),
    });
    // A job that was here before may have been shown elsewhere already.
    if (replayed && !isTerminal(view.status)) await this.feed.caughtUp();
    const name = { tenant, id: view.id };
    const told = await this.follower.toldOf(name, view);
    reply.hijack();
    // A stream may last for an hour: it keeps no body so long.
    request.body = undefined;
    this.inFlight.leave(request.raw);
    this.show(reply, { name, view, told });
  }

  private show(reply: FastifyReply, followed: Followed): void {
    const { name, view } = followed;
    const connection = this.connections.accept({
      tenant: name.tenant,
      response: reply.raw,
      headers: { [httpHeaders.jobId]: view.id },
      from: 'beginning',
      // Its tokens have no ids to go on from.
      lifeMs: null,
    });
    const stop = this.follower.follow(followed, {
      snapshot: (live) => connection.write(tokenFrame(live.text)),
      changed: (change) => connection.write(tokenChangeFrame(change)),
      running: () => undefined,
      status: () => undefined,
      ended: (ended) => {
        connection.write(tokenEndFrames(ended));
        connection.end('finished');
      },
    });
    connection.onEnded(stop);
  }
}

/** Someone waits for the tokens: the job takes the fast lane, and its parameters say `stream`. */
function streamedSubmission({ prompt, params, ...rest }: StreamRequest): JobSubmission {
  const messages = [{ role: 'user', content: prompt }];
  const streamed = { ...(params ?? { messages }), stream: true };
  return { type: 'message', lane: 'interactive', ...rest, params: streamed };
}
