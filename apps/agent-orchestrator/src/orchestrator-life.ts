import type { DayKeeper, Outbox, Pool } from '@millrace/postgres';
import { names, type Health, type Metrics } from '@millrace/runtime';
import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';

import type { PostgresWorkflows } from './adapters/postgres-workflows.ts';
import type { WorkflowTimers } from './workflow-timers.ts';

export interface OrchestratorParts {
  readonly pool: Pool;
  readonly workflows: PostgresWorkflows;
  readonly timers: WorkflowTimers;
  readonly outbox: Outbox;
  readonly days: DayKeeper;
  readonly health: Health;
  readonly metrics: Metrics;
}

/** How often the workflows that go on are counted. */
const measureEveryMs = 10_000;

/** Starts the parts of this service in order, and stops them in the opposite one. */
export class OrchestratorLife implements OnModuleInit, OnModuleDestroy {
  private measuring: NodeJS.Timeout | undefined;

  constructor(private readonly parts: OrchestratorParts) {}

  onModuleInit(): void {
    const { days, health, outbox, pool, timers } = this.parts;
    health.addCheck('postgres', async () => void (await pool.query('SELECT')));
    outbox.start();
    days.start();
    timers.start();
    this.measuring = setInterval(() => void this.measure(), measureEveryMs);
    this.measuring.unref();
  }

  async onModuleDestroy(): Promise<void> {
    const { days, outbox, pool, timers, workflows } = this.parts;
    clearInterval(this.measuring);
    await timers.stop();
    await workflows.close();
    await outbox.stop();
    await days.stop();
    await pool.end();
  }

  private async measure(): Promise<void> {
    const { metrics, workflows } = this.parts;
    const gauge = metrics.gauge(names.metric.workflowsOpen, {
      help: 'Workflows that go on, by what they wait for',
      labels: ['status'],
    });
    try {
      const counts = await workflows.countOpen();
      gauge.reset();
      for (const { count, status } of counts) gauge.set({ status }, count);
    } catch {
      // The database is away: its own check says so, and the last counts stand.
    }
  }
}
