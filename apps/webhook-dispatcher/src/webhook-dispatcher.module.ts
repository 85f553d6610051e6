import { PayloadCodec } from '@millrace/contracts';
import { EgressClient, egressOptionsFrom } from '@millrace/egress';
import { KafkaModule, Publisher, isRefusal } from '@millrace/kafka';
import {
  columnReseal,
  createPool,
  DayKeeper,
  Outbox,
  SecretResealing,
  type Pool,
} from '@millrace/postgres';
import { Health, Logger, Metrics, SecretBox } from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';

import { PostgresDeliveries } from './adapters/postgres-deliveries.ts';
import { PostgresEndpoints } from './adapters/postgres-endpoints.ts';
import { PostgresLaneUpkeep } from './adapters/postgres-lane-upkeep.ts';
import { PostgresTenants } from './adapters/postgres-tenants.ts';
import { sealedColumns } from './adapters/sealed-columns.ts';
import { AttemptTelemetry } from './attempt-telemetry.ts';
import { ChangedTenantsConsumer } from './changed-tenants.consumer.ts';
import type { Config } from './config.ts';
import { LaneBook } from './core/lane-book.ts';
import { LaneSlots } from './core/lane-slots.ts';
import { overloadRetryMsMinDefault } from './core/outcome.ts';
import { DeliveryIntake } from './delivery-intake.ts';
import { DeliveryPolicy, type DeliveryQueue } from './delivery-policy.ts';
import { DispatcherLife } from './dispatcher-life.ts';
import { EndpointKeeper } from './endpoint-keeper.ts';
import { FinishedJobsConsumer } from './finished-jobs.consumer.ts';
import { LaneTurns } from './lane-turns.ts';
import { managementControllers, managementProviders } from './management.ts';
import { Courier, Deliveries, Endpoints, LaneUpkeep, Tenants } from './ports.ts';
import { Receivers } from './receivers.ts';
import { DispatcherSettings } from './settings.ts';
import { WebhookNoticesConsumer } from './webhook-notices.consumer.ts';

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
      controllers: [
        FinishedJobsConsumer,
        WebhookNoticesConsumer,
        ChangedTenantsConsumer,
        ...managementControllers,
      ],
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
      provide: Endpoints,
      inject: [poolToken, SecretBox],
      useFactory: (pool: Pool, box: SecretBox) => new PostgresEndpoints(pool, box),
    },
    {
      provide: LaneUpkeep,
      inject: [poolToken],
      useFactory: (pool: Pool) => new PostgresLaneUpkeep(pool),
    },
    {
      provide: Tenants,
      inject: [poolToken, SecretBox],
      useFactory: (pool: Pool, box: SecretBox) => new PostgresTenants(pool, box),
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
    {
      provide: SecretResealing,
      inject: [poolToken, SecretBox, Logger],
      useFactory: (pool: Pool, box: SecretBox, log: Logger) => {
        const passes = sealedColumns.map((column) => columnReseal({ pool, box, column }));
        return new SecretResealing({ box, passes, log });
      },
    },
  ];
}

function sendingProviders(config: Config): Provider[] {
  const policy = { allowedCidrs: config.MILLRACE_EGRESS_ALLOWED_CIDRS };
  const egress = { ...egressOptionsFrom(config), totalTimeoutMs: config.WEBHOOK_TIMEOUT_MS };
  return [
    {
      provide: DispatcherSettings,
      useValue: new DispatcherSettings({ publicUrl: config.MILLRACE_PUBLIC_URL }),
    },
    {
      provide: LaneSlots,
      useFactory: () => new LaneSlots({ slotsMax: config.MAX_IN_FLIGHT }),
    },
    { provide: LaneBook, useFactory: () => new LaneBook() },
    {
      provide: DeliveryIntake,
      inject: [Deliveries, WorkQueue, LaneSlots, LaneBook],
      useFactory: (
        deliveries: Deliveries,
        queue: DeliveryQueue,
        slots: LaneSlots,
        book: LaneBook,
      ) => new DeliveryIntake(deliveries, queue, slots, book),
    },
    { provide: EgressClient, useFactory: () => new EgressClient(policy, egress) },
    { provide: Courier, useExisting: EgressClient },
    {
      provide: WorkQueue,
      inject: [
        poolToken,
        Deliveries,
        Tenants,
        Endpoints,
        Courier,
        LaneSlots,
        LaneBook,
        PayloadCodec,
        Logger,
        Metrics,
      ],
      useFactory: (...parts: QueueParts) => createQueue(config, parts),
    },
  ];
}

type QueueParts = [
  pool: Pool,
  deliveries: Deliveries,
  tenants: Tenants,
  endpoints: Endpoints,
  courier: Courier,
  slots: LaneSlots,
  book: LaneBook,
  codec: PayloadCodec,
  log: Logger,
  metrics: Metrics,
];

function createQueue(config: Config, parts: QueueParts): DeliveryQueue {
  const [pool, deliveries, tenants, endpoints, courier, slots, book, codec, log, metrics] = parts;
  const retry = {
    scheduleMs: config.RETRY_SCHEDULE_MS,
    overloadRetryMsMin: overloadRetryMsMinDefault,
  };
  const queue: DeliveryQueue = new WorkQueue({
    name: 'deliveries',
    schema: 'dispatcher',
    pool,
    policy: new DeliveryPolicy({
      deliveries,
      receivers: new Receivers(tenants, endpoints),
      courier,
      slots,
      book,
      turns: new LaneTurns(slots, book),
      keeper: new EndpointKeeper(endpoints, codec, log),
      retry,
      telemetry: new AttemptTelemetry(log, metrics),
      codec,
      onRoom: () => queue.wake(),
    }),
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
      SecretResealing,
      PostgresDeliveries,
      LaneUpkeep,
      EgressClient,
      Health,
      Metrics,
      Logger,
    ],
    useFactory: (
      pool: Pool,
      queue: DeliveryQueue,
      outbox: Outbox,
      days: DayKeeper,
      resealing: SecretResealing,
      deliveries: PostgresDeliveries,
      upkeep: LaneUpkeep,
      courier: EgressClient,
      health: Health,
      metrics: Metrics,
      log: Logger,
    ) =>
      new DispatcherLife({
        pool,
        queue,
        outbox,
        days,
        resealing,
        deliveries,
        upkeep,
        courier,
        health,
        metrics,
        log,
        shutdownMs: config.SHUTDOWN_MS,
      }),
  };
}
