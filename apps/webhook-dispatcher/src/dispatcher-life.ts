import type { EgressClient } from '@millrace/egress';
import type { DayKeeper, Outbox, Pool, SecretResealing } from '@millrace/postgres';
import { names, type Health, type Logger, type Metrics } from '@millrace/runtime';
import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';

import type { PostgresDeliveries } from './adapters/postgres-deliveries.ts';
import type { DeliveryQueue } from './delivery-policy.ts';
import type { LaneUpkeep } from './ports.ts';

export interface DispatcherParts {
  readonly pool: Pool;
  readonly queue: DeliveryQueue;
  readonly outbox: Outbox;
  readonly days: DayKeeper;
  readonly resealing: SecretResealing;
  readonly deliveries: PostgresDeliveries;
  readonly upkeep: LaneUpkeep;
  readonly courier: EgressClient;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly shutdownMs: number;
}

/**
 * Share of a stop that POSTs under way may take; then they are aborted and given back. Of the
 * default 10 s that leaves 4 s: 2 s to settle what was aborted, and the rest for connections.
 */
const drainShare = 0.6;
/** How often the depth of the queue is counted. */
const measureEveryMs = 5_000;
/** How often what waits at disabled and deleted endpoints is ended. */
const upkeepEveryMs = 10_000;
/** Every so many of these lanes are walked through: a net under what statements do themselves. */
const walkEvery = 6;

/** Starts the parts of this service in order, and stops them in the opposite one. */
export class DispatcherLife implements OnModuleInit, OnModuleDestroy {
  private measuring: NodeJS.Timeout | undefined;
  private keeping: NodeJS.Timeout | undefined;
  private kept: Promise<void> = Promise.resolve();
  private rounds = 0;
  private stopping = false;

  constructor(private readonly parts: DispatcherParts) {}

  async onModuleInit(): Promise<void> {
    const { days, health, outbox, pool, queue, resealing } = this.parts;
    health.addCheck('postgres', async () => void (await pool.query('SELECT')));
    health.addInfo('deliveries', () => ({ in_flight: queue.inFlight }));
    await queue.start();
    outbox.start();
    days.start();
    resealing.start();
    this.measuring = setInterval(() => void this.measure(), measureEveryMs);
    this.measuring.unref();
    this.keepLanesSoon(0);
  }

  async onModuleDestroy(): Promise<void> {
    const { courier, days, deliveries, health, outbox, pool } = this.parts;
    const { queue, resealing, shutdownMs } = this.parts;
    this.stopping = true;
    clearInterval(this.measuring);
    clearTimeout(this.keeping);
    await this.kept;
    // The membership of the consumer group went first, and may have taken its time.
    const deadlineMs = Math.max(0, shutdownMs * drainShare - health.stoppingMs);
    await queue.stop({ deadlineMs });
    await outbox.stop();
    await days.stop();
    await resealing.stop();
    await deliveries.close();
    await courier.close();
    await pool.end();
  }

  private keepLanesSoon(afterMs: number): void {
    if (this.stopping) return;
    this.keeping = setTimeout(() => {
      this.kept = this.keepLanes().finally(() => this.keepLanesSoon(upkeepEveryMs));
    }, afterMs);
    this.keeping.unref();
  }

  private async keepLanes(): Promise<void> {
    const { log, upkeep } = this.parts;
    try {
      if (this.rounds++ % walkEvery === 0) await this.walkLanes();
      const deliveries = await upkeep.endUnsendable();
      if (deliveries > 0) log.info({ deliveries }, 'deliveries of closed endpoints were ended');
    } catch (error) {
      log.warn({ error }, 'lanes are looked after again in a moment');
    }
  }

  private async walkLanes(): Promise<void> {
    const { log, queue, upkeep } = this.parts;
    const lanes = await upkeep.wakeForgotten();
    if (lanes > 0) {
      log.info({ lanes }, 'lanes were found with deliveries that nobody looked for');
      queue.wake();
    }
    await upkeep.forgetUnused();
  }

  private async measure(): Promise<void> {
    const { deliveries, metrics, queue } = this.parts;
    const labels = { queue: 'deliveries' };
    const inFlight = { help: 'Rows of a work queue that run now.', labels: ['queue'] };
    const waiting = { help: 'Rows of a work queue that nobody runs yet.', labels: ['queue'] };
    metrics.gauge(names.metric.workInFlight, inFlight).set(labels, queue.inFlight);
    try {
      const count = await deliveries.countWaiting();
      metrics.gauge(names.metric.workWaiting, waiting).set(labels, count);
    } catch {
      // The database is away: its own check says so, and the last count stands.
    }
  }
}
