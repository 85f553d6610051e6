import { PayloadCodec } from '@millrace/contracts';
import { EgressClient } from '@millrace/egress';
import { KafkaModule, Publisher, isRefusal } from '@millrace/kafka';
import { createPool, DayKeeper, Outbox, type Pool } from '@millrace/postgres';
import { Health, Logger, Metrics } from '@millrace/runtime';
import { OriginSlots, WorkQueue } from '@millrace/work';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';

import { PostgresDeliveries } from './adapters/postgres-deliveries.ts';
import { PostgresTenants } from './adapters/postgres-tenants.ts';
import { AttemptTelemetry } from './attempt-telemetry.ts';
import { ChangedTenantsConsumer } from './changed-tenants.consumer.ts';
import type { Config } from './config.ts';
import { overloadRetryMsMinDefault } from './core/outcome.ts';
import { DeliveryPolicy, type DeliveryQueue } from './delivery-policy.ts';
import { DispatcherLife } from './dispatcher-life.ts';
import { FinishedJobsConsumer } from './finished-jobs.consumer.ts';
import { managementControllers, managementProviders } from './management.ts';
import { Courier, Deliveries, Tenants } from './ports.ts';
import { DispatcherSettings } from './settings.ts';

/** Connections: the statements are few and large, so a handful serves all slots. */
const poolMax = 8;
const poolToken = Symbol('pool');

export interface WebhookDispatcherOptions {
  /** Before every topic and group on the broker: for specs that share one. */
  readonly kafkaPrefix?: string;
}

@Module({})
export class WebhookDispatcherModule {
  static forConfig(config: Config, options: WebhookDispatcherOptions = {}): DynamicModule {
    const { kafkaPrefix } = options;
    const kafka = kafkaPrefix === undefined ? { config } : { config, prefix: kafkaPrefix };
    return {
      module: WebhookDispatcherModule,
      imports: [KafkaModule.forService(kafka)],
      controllers: [FinishedJobsConsumer, ChangedTenantsConsumer, ...managementControllers],
      providers: [
        ...stateProviders(config),
        ...sendingProviders(config),
        ...managementProviders(config),
        lifeProvider(config),
      ],
    };
  }
}

function stateProviders(config: Config): Provider[] {
  return [
    {
      provide: poolToken,
      useFactory: () =>
        createPool({
          url: config.DATABASE_URL,
          max: poolMax,
          applicationName: 'webhook-dispatcher',
        }),
    },
    {
      provide: PostgresDeliveries,
      inject: [poolToken, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) => new PostgresDeliveries(pool, codec),
    },
    { provide: Deliveries, useExisting: PostgresDeliveries },
    {
      provide: Tenants,
      inject: [poolToken, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) => new PostgresTenants(pool, codec),
    },
    {
      provide: Outbox,
      inject: [poolToken, Publisher, Logger],
      useFactory: (pool: Pool, publisher: Publisher, log: Logger) =>
        new Outbox({
          pool,
          schema: 'dispatcher',
          publish: (messages) => publisher.publish(messages),
          isRefusal,
          onError: (error) => log.warn({ error }, 'dead letters wait in the outbox'),
        }),
    },
    {
      provide: DayKeeper,
      inject: [poolToken, Logger],
      useFactory: (pool: Pool, log: Logger) =>
        new DayKeeper({
          pool,
          schema: 'dispatcher',
          onDropped: (dropped) => log.info(dropped, 'days were dropped'),
          onError: (error) => log.warn({ error }, 'days are kept again in an hour'),
        }),
    },
  ];
}

function sendingProviders(config: Config): Provider[] {
  const policy = { allowedCidrs: config.MILLRACE_EGRESS_ALLOWED_CIDRS };
  const timeout = { totalTimeoutMs: config.WEBHOOK_TIMEOUT_MS };
  return [
    {
      provide: DispatcherSettings,
      useValue: new DispatcherSettings({ publicUrl: config.MILLRACE_PUBLIC_URL }),
    },
    { provide: OriginSlots, useFactory: () => new OriginSlots() },
    { provide: EgressClient, useFactory: () => new EgressClient(policy, timeout) },
    { provide: Courier, useExisting: EgressClient },
    {
      provide: WorkQueue,
      inject: [poolToken, Deliveries, Tenants, Courier, OriginSlots, Logger, Metrics],
      useFactory: (...parts: QueueParts) => createQueue(config, parts),
    },
  ];
}

type QueueParts = [
  pool: Pool,
  deliveries: Deliveries,
  tenants: Tenants,
  courier: Courier,
  slots: OriginSlots,
  log: Logger,
  metrics: Metrics,
];

function createQueue(config: Config, parts: QueueParts): DeliveryQueue {
  const [pool, deliveries, tenants, courier, slots, log, metrics] = parts;
  const retry = {
    scheduleMs: config.RETRY_SCHEDULE_MS,
    overloadRetryMsMin: overloadRetryMsMinDefault,
  };
  const telemetry = new AttemptTelemetry(log, metrics);
  const onRoom = () => queue.wake();
  const queue: DeliveryQueue = new WorkQueue({
    name: 'deliveries',
    schema: 'dispatcher',
    pool,
    policy: new DeliveryPolicy({ deliveries, tenants, courier, slots, retry, telemetry, onRoom }),
    slotsMax: config.MAX_IN_FLIGHT,
    leaseMs: config.LEASE_MS,
    log,
  });
  return queue;
}

function lifeProvider(config: Config): Provider {
  return {
    provide: DispatcherLife,
    inject: [
      poolToken,
      WorkQueue,
      Outbox,
      DayKeeper,
      PostgresDeliveries,
      EgressClient,
      Health,
      Metrics,
    ],
    useFactory: (
      pool: Pool,
      queue: DeliveryQueue,
      outbox: Outbox,
      days: DayKeeper,
      deliveries: PostgresDeliveries,
      courier: EgressClient,
      health: Health,
      metrics: Metrics,
    ) =>
      new DispatcherLife({
        pool,
        queue,
        outbox,
        days,
        deliveries,
        courier,
        health,
        metrics,
        shutdownMs: config.SHUTDOWN_MS,
      }),
  };
}
