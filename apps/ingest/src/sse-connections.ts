import type { TenantId } from '@millrace/contracts';
import { Metrics, names, type Counter, type Gauge } from '@millrace/runtime';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';

import { RefusedForNow } from './core/problem.ts';
import { streamRoom } from './core/stream-room.ts';
import { SseConnection, type StreamedResponse } from './sse-connection.ts';
import { StreamSettings } from './stream-settings.ts';

/** Streams end and begin all the time: a refused client finds room, or another replica. */
const roomRetrySeconds = 5;

export interface AcceptedStream {
  readonly tenant: TenantId;
  readonly response: StreamedResponse;
  readonly headers?: Readonly<Record<string, string>>;
  readonly from: 'beginning' | 'resumed';
  /** As `SseConnectionOptions` has it. */
  readonly lifeMs: number | null;
}

/** All open event streams of this process: how many there may be, and their end with it. */
@Injectable()
export class SseConnections implements OnModuleDestroy {
  private readonly open = new Set<SseConnection>();
  private readonly openOf = new Map<TenantId, number>();
  private readonly openCount: Gauge;
  private readonly openings: Counter;
  private readonly endings: Counter;
  private readonly refusals: Counter;

  constructor(
    private readonly settings: StreamSettings,
    metrics: Metrics,
  ) {
    this.openCount = metrics.gauge(names.metric.streamsOpen, { help: 'Event streams open now' });
    this.openings = metrics.counter(names.metric.streamsOpened, {
      help: 'Event streams opened, and whether their client came back',
      labels: ['from'],
    });
    this.endings = metrics.counter(names.metric.streamsEnded, {
      help: 'Event streams by how they ended',
      labels: ['outcome'],
    });
    this.refusals = metrics.counter(names.metric.streamsRefused, {
      help: 'Event streams refused for want of room',
      labels: ['reason'],
    });
  }

  /** @throws RefusedForNow when there are too many; call it before the response is touched. */
  assertRoom(tenant: TenantId): void {
    const open = { process: this.open.size, tenant: this.openOf.get(tenant) ?? 0 };
    const room = streamRoom(open, this.settings);
    if (room === 'room') return;
    this.refusals.inc({ reason: room });
    const whose = room === 'tenant_full' ? 'of this tenant ' : '';
    const detail = `too many event streams ${whose}are open here`;
    throw new RefusedForNow('too_many_requests', detail, roomRetrySeconds);
  }

  /** A stream counts until its reader has all of it or is gone: so long it costs memory. */
  accept({ tenant, response, headers = {}, from, lifeMs }: AcceptedStream): SseConnection {
    const { settings } = this;
    const connection = new SseConnection(response, { settings, headers, lifeMs });
    this.openings.inc({ from });
    this.open.add(connection);
    this.count(tenant, 1);
    connection.onEnded((outcome) => this.endings.inc({ outcome }));
    connection.onGone(() => {
      this.open.delete(connection);
      this.count(tenant, -1);
    });
    return connection;
  }

  /** Clients connect again, to a process that stays. */
  onModuleDestroy(): void {
    for (const connection of this.open) connection.end('stopped');
  }

  private count(tenant: TenantId, change: 1 | -1): void {
    const count = (this.openOf.get(tenant) ?? 0) + change;
    if (count === 0) this.openOf.delete(tenant);
    else this.openOf.set(tenant, count);
    this.openCount.set(this.open.size);
  }
}
