import { Injectable, type OnModuleDestroy } from '@nestjs/common';

import { ProblemError } from './core/problem.ts';
import { SseConnection, type StreamedResponse } from './sse-connection.ts';

/** Streams of one process: what a few hundred MiB of socket buffers allow. */
const connectionsMax = 10_000;

/** All open event streams, so that a stop can end them. */
@Injectable()
export class SseConnections implements OnModuleDestroy {
  private readonly open = new Set<SseConnection>();

  /** @throws ProblemError when there are too many; call it before the response is touched. */
  assertRoom(): void {
    if (this.open.size < connectionsMax) return;
    throw new ProblemError('too_many_requests', 'too many event streams are open here');
  }

  accept(
    response: StreamedResponse,
    headers: Readonly<Record<string, string>> = {},
  ): SseConnection {
    const connection = new SseConnection(response, headers);
    this.open.add(connection);
    return connection;
  }

  /** Must be called when a connection is over. */
  forget(connection: SseConnection): void {
    this.open.delete(connection);
  }

  /** Clients connect again, to a process that stays. */
  onModuleDestroy(): void {
    for (const connection of this.open) connection.end();
  }
}
