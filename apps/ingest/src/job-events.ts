import { isTerminal, type JobView } from '@millrace/contracts';
import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import {
  changeFrame,
  endFrame,
  openedFrames,
  runningFrame,
  snapshotFrame,
  statusFrame,
} from './core/job-event-frames.ts';
import { ProblemError } from './core/problem.ts';
import { parseResumePoint } from './core/resume-point.ts';
import { eventsAreGone, streamLifeMs } from './core/stream-life.ts';
import { JobFollower, type Followed, type JobStage } from './job-follower.ts';
import { Clock, LiveFeed, type JobName } from './ports.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
import type { SseConnection } from './sse-connection.ts';
import { SseConnections } from './sse-connections.ts';
import { StreamSettings } from './stream-settings.ts';

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
    private readonly feed: LiveFeed,
    private readonly settings: StreamSettings,
    private readonly clock: Clock,
    private readonly log: Logger,
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
    if (eventsAreGone(view, this.clock.now().getTime())) {
      throw new ProblemError('gone', 'the events of this job are not kept any longer: read it');
    }
    this.connections.assertRoom(name.tenant);
    reply.hijack();
    this.inFlight.leave(request.raw);
    const after = from.kind === 'after' ? from.place : undefined;
    const connection = this.connections.accept({
      tenant: name.tenant,
      response: reply.raw,
      from: after === undefined ? 'beginning' : 'resumed',
      lifeMs: streamLifeMs(this.settings.lifeMs, Math.random()),
    });
    this.show(connection, { name, view, after }).catch((error: unknown) => {
      this.log.error({ error, job_id: name.id }, 'a job could not be followed');
      connection.end('stopped');
    });
  }

  private async show(connection: SseConnection, followed: Followed): Promise<void> {
    // Another replica may have shown what has not come here yet: a snapshot must not be older.
    if (!isTerminal(followed.view.status)) await this.feed.caughtUp();
    const { name, view } = followed;
    const told = await this.follower.toldOf(name, view);
    if (!connection.isOpen) return;
    // Who has this is told of everything from now on.
    connection.write(openedFrames(view));
    const stop = this.follower.follow({ ...followed, told }, stageOn(connection, view));
    connection.onEnded(stop);
  }
}

function stageOn(connection: SseConnection, view: JobView): JobStage {
  return {
    snapshot: (live, at) => connection.write(snapshotFrame(view, live, at)),
    changed: (change, at) => connection.write(changeFrame(view, change, at)),
    running: () => connection.write(runningFrame(view)),
    status: (status) => connection.write(statusFrame(view, status)),
    ended: (ended) => {
      connection.write(endFrame(ended));
      connection.end('finished');
    },
  };
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
