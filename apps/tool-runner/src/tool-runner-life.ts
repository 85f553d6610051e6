import type { EgressClient } from '@millrace/egress';
import type { DayKeeper, Outbox, Pool, SecretResealing } from '@millrace/postgres';
import { names, type Health, type Metrics } from '@millrace/runtime';
import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';

import type { PostgresExecutions } from './adapters/postgres-executions.ts';
import type { ExecutionQueue } from './execution-policy.ts';
import type { McpTools } from './mcp-tools.ts';

export interface ToolRunnerParts {
  readonly pool: Pool;
  readonly apiPool: Pool;
  readonly queue: ExecutionQueue;
  readonly outbox: Outbox;
  readonly days: DayKeeper;
  readonly resealing: SecretResealing;
  readonly executions: PostgresExecutions;
  readonly courier: EgressClient;
  readonly mcp: McpTools;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly shutdownMs: number;
}

/**
 * Share of a stop that calls under way may take; then they are aborted and given back. Of the
 * default 10 s that leaves 4 s: 2 s to settle what was aborted, and the rest for connections.
 */
const drainShare = 0.6;
/** How often the depth of the queue is counted. */
const measureEveryMs = 5_000;

/** Starts the parts of this service in order, and stops them in the opposite one. */
export class ToolRunnerLife implements OnModuleInit, OnModuleDestroy {
  private measuring: NodeJS.Timeout | undefined;

  constructor(private readonly parts: ToolRunnerParts) {}

  async onModuleInit(): Promise<void> {
    const { days, health, outbox, pool, queue, resealing } = this.parts;
    health.addCheck('postgres', async () => void (await pool.query('SELECT')));
    health.addInfo('executions', () => ({ in_flight: queue.inFlight }));
    await queue.start();
    outbox.start();
    days.start();
    resealing.start();
    this.measuring = setInterval(() => void this.measure(), measureEveryMs);
    this.measuring.unref();
  }

  async onModuleDestroy(): Promise<void> {
    const { apiPool, courier, days, executions, health, mcp, outbox, pool } = this.parts;
    const { queue, resealing, shutdownMs } = this.parts;
    clearInterval(this.measuring);
    // The membership of the consumer group went first, and may have taken its time.
    const deadlineMs = Math.max(0, shutdownMs * drainShare - health.stoppingMs);
    await queue.stop({ deadlineMs });
    await outbox.stop();
    await days.stop();
    await resealing.stop();
    await executions.close();
    mcp.close();
    await courier.close();
    await Promise.all([pool.end(), apiPool.end()]);
  }

  private async measure(): Promise<void> {
    const { executions, metrics, queue } = this.parts;
    const labels = { queue: 'executions' };
    const inFlight = { help: 'Rows of a work queue that run now.', labels: ['queue'] };
    const waiting = { help: 'Rows of a work queue that nobody runs yet.', labels: ['queue'] };
    metrics.gauge(names.metric.workInFlight, inFlight).set(labels, queue.inFlight);
    try {
      const count = await executions.countWaiting();
      metrics.gauge(names.metric.workWaiting, waiting).set(labels, count);
    } catch {
      // The database is away: its own check says so, and the last count stands.
    }
  }
}
