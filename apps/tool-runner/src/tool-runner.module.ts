import { PayloadCodec } from '@millrace/contracts';
import { EgressClient, egressOptionsFrom, type Resolve } from '@millrace/egress';
import { isRefusal, KafkaModule, Publisher } from '@millrace/kafka';
import {
  Blobs,
  columnReseal,
  createPool,
  DayKeeper,
  Outbox,
  SecretResealing,
  TenantDatabase,
  tenantSecretsColumn,
  type Pool,
} from '@millrace/postgres';
import {
  Health,
  InternalKey,
  InternalKeyGuard,
  Logger,
  Metrics,
  SecretBox,
} from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';

import { DocumentTexts } from './adapters/document-texts.ts';
import { PostgresExecutions } from './adapters/postgres-executions.ts';
import { PostgresTenants } from './adapters/postgres-tenants.ts';
import { PostgresToolRegistry } from './adapters/postgres-tool-registry.ts';
import { PostgresTools } from './adapters/postgres-tools.ts';
import { ChangedTenantsConsumer } from './changed-tenants.consumer.ts';
import type { Config } from './config.ts';
import { OriginSlots } from './core/origin-slots.ts';
import { DocumentSplits } from './document-splits.ts';
import { ExecutionPolicy, type ExecutionQueue } from './execution-policy.ts';
import { ExecutionRuns } from './execution-runs.ts';
import { ExecutionTelemetry } from './execution-telemetry.ts';
import { HttpTools } from './http-tools.ts';
import { McpTools } from './mcp-tools.ts';
import { Courier, Executions, Tenants, ToolRegistry, Tools } from './ports.ts';
import { ToolRequestsConsumer } from './tool-requests.consumer.ts';
import { ToolRunnerLife } from './tool-runner-life.ts';
import { egressPolicyToken, ToolsController } from './tools.controller.ts';

/** Connections: the statements are few and large, so a handful serves all slots. */
const poolMax = 8;
/** For people's requests: none of them is on a job's way. */
const apiPoolMax = 4;
const poolToken = Symbol('pool');
const apiPoolToken = Symbol('API pool');

export interface ToolRunnerOptions {
  /** Before every topic and group on the broker: for specs that share one. */
  readonly kafkaPrefix?: string;
  /** Before every group beside that: for specs in which a process takes nothing over. */
  readonly groupPrefix?: string;
  /** In place of the system's resolver: for specs in which a name leads where it should not. */
  readonly resolve?: Resolve;
  /** When calls are put back that their process does not know of: for specs that cannot wait. */
  readonly unheldAgeMs?: number;
}

@Module({})
export class ToolRunnerModule {
  static forConfig(config: Config, options: ToolRunnerOptions = {}): DynamicModule {
    const { groupPrefix = '', kafkaPrefix = '' } = options;
    const kafka = { config, prefix: kafkaPrefix, groupPrefix };
    return {
      module: ToolRunnerModule,
      imports: [KafkaModule.forService(kafka)],
      controllers: [ToolRequestsConsumer, ChangedTenantsConsumer, ToolsController],
      providers: [
        ...stateProviders(config),
        ...registryProviders(config),
        ...runningProviders(config, options),
        lifeProvider(config),
      ],
    };
  }
}

function stateProviders(config: Config): Provider[] {
  const url = config.DATABASE_URL;
  return [
    {
      provide: poolToken,
      useFactory: () => createPool({ url, max: poolMax, applicationName: 'tool-runner' }),
    },
    {
      provide: PostgresExecutions,
      inject: [poolToken, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) => new PostgresExecutions(pool, codec),
    },
    { provide: Executions, useExisting: PostgresExecutions },
    {
      provide: Tools,
      inject: [poolToken, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) => new PostgresTools(pool, codec),
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
          schema: 'tools',
          publish: (messages) => publisher.publish(messages),
          isRefusal,
          onError: (error) => log.warn({ error }, 'results of tools wait in the outbox'),
        }),
    },
    {
      provide: DayKeeper,
      inject: [poolToken, Logger],
      useFactory: (pool: Pool, log: Logger) =>
        new DayKeeper({
          pool,
          schema: 'tools',
          onDropped: (dropped) => log.info(dropped, 'days were dropped'),
          onError: (error) => log.warn({ error }, 'days are kept again in an hour'),
        }),
    },
    {
      provide: SecretResealing,
      inject: [poolToken, SecretBox, Logger],
      useFactory: (pool: Pool, box: SecretBox, log: Logger) => {
        const passes = [columnReseal({ pool, box, column: tenantSecretsColumn('tools') })];
        return new SecretResealing({ box, passes, log });
      },
    },
  ];
}

function registryProviders(config: Config): Provider[] {
  return [
    {
      provide: apiPoolToken,
      useFactory: () =>
        createPool({
          url: config.API_DATABASE_URL,
          max: apiPoolMax,
          applicationName: 'tool-runner-api',
          pipeline: true,
        }),
    },
    {
      provide: ToolRegistry,
      inject: [apiPoolToken, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) =>
        new PostgresToolRegistry(new TenantDatabase(pool), codec),
    },
    {
      provide: egressPolicyToken,
      useValue: { allowedCidrs: config.MILLRACE_EGRESS_ALLOWED_CIDRS },
    },
    { provide: InternalKey, useFactory: () => new InternalKey(config.MILLRACE_INTERNAL_KEY) },
    InternalKeyGuard,
  ];
}

function runningProviders(config: Config, options: ToolRunnerOptions): Provider[] {
  const { resolve } = options;
  const policy = { allowedCidrs: config.MILLRACE_EGRESS_ALLOWED_CIDRS };
  const egress = {
    ...egressOptionsFrom(config),
    ...(resolve === undefined ? {} : { resolve }),
  };
  return [
    { provide: OriginSlots, useFactory: () => new OriginSlots() },
    { provide: EgressClient, useFactory: () => new EgressClient(policy, egress) },
    { provide: Courier, useExisting: EgressClient },
    {
      provide: ExecutionTelemetry,
      inject: [Logger, Metrics],
      useFactory: (log: Logger, metrics: Metrics) => new ExecutionTelemetry(log, metrics),
    },
    {
      provide: McpTools,
      inject: [Courier],
      useFactory: (courier: Courier) => new McpTools(courier),
    },
    {
      provide: DocumentSplits,
      inject: [poolToken, Courier, PayloadCodec],
      useFactory: (pool: Pool, courier: Courier, codec: PayloadCodec) =>
        new DocumentSplits({ blobs: new Blobs(pool), courier, codec, texts: new DocumentTexts() }),
    },
    {
      provide: ExecutionRuns,
      inject: [Tools, Courier, Tenants, ExecutionTelemetry, McpTools, DocumentSplits],
      useFactory: (
        tools: Tools,
        courier: Courier,
        tenants: Tenants,
        telemetry: ExecutionTelemetry,
        mcp: McpTools,
        documents: DocumentSplits,
      ) => {
        const http = new HttpTools({ courier, tenants, telemetry });
        return new ExecutionRuns({ tools, http, mcp, documents });
      },
    },
    {
      provide: WorkQueue,
      inject: [
        poolToken,
        Executions,
        Outbox,
        OriginSlots,
        PayloadCodec,
        ExecutionRuns,
        ExecutionTelemetry,
        Logger,
      ],
      useFactory: (...parts: QueueParts) => createQueue(config, options, parts),
    },
  ];
}

type QueueParts = [
  pool: Pool,
  executions: Executions,
  outbox: Outbox,
  slots: OriginSlots,
  codec: PayloadCodec,
  runs: ExecutionRuns,
  telemetry: ExecutionTelemetry,
  log: Logger,
];

function createQueue(
  config: Config,
  { unheldAgeMs }: ToolRunnerOptions,
  parts: QueueParts,
): ExecutionQueue {
  const [pool, executions, outbox, slots, codec, runs, telemetry, log] = parts;
  const queue: ExecutionQueue = new WorkQueue({
    name: 'executions',
    schema: 'tools',
    pool,
    policy: new ExecutionPolicy({
      executions,
      outbox,
      slots,
      codec,
      telemetry,
      run: (execution, context) => runs.run(execution, context),
      retryBaseMs: config.RETRY_BASE_MS,
      onRoom: () => queue.wake(),
    }),
    slotsMax: config.MAX_IN_FLIGHT,
    leaseMs: config.LEASE_MS,
    log,
    ...(unheldAgeMs === undefined ? {} : { unheldAgeMs }),
  });
  return queue;
}

function lifeProvider(config: Config): Provider {
  return {
    provide: ToolRunnerLife,
    inject: [
      poolToken,
      apiPoolToken,
      WorkQueue,
      Outbox,
      DayKeeper,
      SecretResealing,
      PostgresExecutions,
      EgressClient,
      McpTools,
      Health,
      Metrics,
    ],
    useFactory: (
      pool: Pool,
      apiPool: Pool,
      queue: ExecutionQueue,
      outbox: Outbox,
      days: DayKeeper,
      resealing: SecretResealing,
      executions: PostgresExecutions,
      courier: EgressClient,
      mcp: McpTools,
      health: Health,
      metrics: Metrics,
    ) =>
      new ToolRunnerLife({
        pool,
        apiPool,
        queue,
        outbox,
        days,
        resealing,
        executions,
        courier,
        mcp,
        health,
        metrics,
        shutdownMs: config.SHUTDOWN_MS,
      }),
  };
}
