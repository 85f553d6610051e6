import type { JobView } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import {
  changeFrame,
  endFrame,
  openedFrames,
  runningFrame,
  snapshotFrame,
} from './core/job-event-frames.ts';
import { ProblemError } from './core/problem.ts';
import { parseResumePoint } from './core/resume-point.ts';
import { JobFollower } from './job-follower.ts';
import type { JobName } from './ports.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
import { SseConnections } from './sse-connections.ts';

export interface OpenedJob {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly name: JobName;
  readonly view: JobView;
}

/** `GET /v1/jobs/{id}/events`: one job as it goes on, from its text so far to its end. */
@Injectable()
export class JobEvents {
  constructor(
    private readonly follower: JobFollower,
    private readonly connections: SseConnections,
    private readonly inFlight: RequestsInFlight,
  ) {}

  open({ request, reply, name, view }: OpenedJob): void {
    // A client that has the last event comes back by itself; 204 tells it that this was all.
    const from = parseResumePoint(view.id, lastEventIdOf(request));
    if (from.kind === 'malformed') {
      throw new ProblemError('invalid_request', 'the last event id is not one of this job');
    }
    if (from.kind === 'end') {
      void reply.status(204).send();
      return;
    }
    this.connections.assertRoom();
    reply.hijack();
    this.inFlight.leave(request.raw);
    const connection = this.connections.accept(reply.raw);
    connection.write(openedFrames(view));
    const after = from.kind === 'after' ? from.place : undefined;
    const stop = this.follower.follow({ name, view, after }, {
      snapshot: (live) => connection.write(snapshotFrame(view.id, live)),
      changed: (change) => connection.write(changeFrame(view.id, change)),
      running: () => connection.write(runningFrame(view)),
      ended: (ended) => {
        connection.write(endFrame(ended));
        connection.end();
      },
    });
    connection.onClosed(() => {
      stop();
      this.connections.forget(connection);
    });
  }
}

/** A client that connects again by itself keeps its first URL: so the header goes first. */
function lastEventIdOf({ headers, query }: FastifyRequest): string | undefined {
  const header = headers['last-event-id'];
  if (typeof header === 'string' && header !== '') return header;
  if (typeof query !== 'object' || query === null || !('starting_after' in query)) return undefined;
  const { starting_after: after } = query;
  // Given twice it is an array: that is no place.
  return typeof after === 'string' ? after : 'malformed';
}
