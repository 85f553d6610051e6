import { PayloadCodec } from '@millrace/contracts';
import { isRefusal, KafkaModule, Publisher } from '@millrace/kafka';
import { Blobs, createPool, DayKeeper, Outbox, type Pool } from '@millrace/postgres';
import { Health, InternalKey, InternalKeyGuard, Logger, Metrics } from '@millrace/runtime';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';

import { PostgresWorkflows } from './adapters/postgres-workflows.ts';
import type { Config } from './config.ts';
import { reducersWith, type Reducers } from './core/reducers.ts';
import { ToolTokens } from './core/tool-token.ts';
import { ForkSource } from './fork-source.ts';
import { OrchestratorLife } from './orchestrator-life.ts';
import { OrchestratorTelemetry } from './orchestrator-telemetry.ts';
import { OutgoingMessages } from './outgoing-messages.ts';
import { readPrices } from './price-file.ts';
import { StoredBodies } from './stored-bodies.ts';
import { WorkflowArrivals } from './workflow-arrivals.ts';
import { WorkflowEngine } from './workflow-engine.ts';
import { WorkflowEventsConsumer } from './workflow-events.consumer.ts';
import { WorkflowHistory } from './workflow-history.ts';
import { WorkflowsController } from './workflows.controller.ts';
import { WorkflowTimers } from './workflow-timers.ts';

/** Connections: three batches at once, timers, outbox, bodies that are read, and histories. */
const poolMax = 10;
const poolToken = Symbol('pool');
/** From `src` and from `dist` alike. */
const pricesFile = new URL('../../../deploy/prices.json', import.meta.url);

export interface AgentOrchestratorOptions {
  /** Before every topic and group on the broker: for specs that share one. */
  readonly kafkaPrefix?: string;
  /** Before every group alone: for specs whose processes die. */
  readonly groupPrefix?: string;
  /** In place of this release's own: for specs. */
  readonly reducers?: Reducers;
}

@Module({})
export class AgentOrchestratorModule {
  static forConfig(config: Config, options: AgentOrchestratorOptions = {}): DynamicModule {
    const { groupPrefix = '', kafkaPrefix = '' } = options;
    const kafka = { config, prefix: kafkaPrefix, groupPrefix };
    const prices = readPrices(config.PRICES_FILE ?? pricesFile);
    const reducers = options.reducers ?? reducersWith(prices);
    return {
      module: AgentOrchestratorModule,
      imports: [KafkaModule.forService(kafka)],
      controllers: [WorkflowEventsConsumer, WorkflowsController],
      providers: [
        ...stateProviders(config, reducers),
        ...engineProviders({ prices, reducers }),
        lifeProvider,
      ],
    };
  }
}

function stateProviders(config: Config, reducers: Reducers): Provider[] {
  return [
    {
      provide: poolToken,
      useFactory: () =>
        createPool({
          url: config.DATABASE_URL,
          max: poolMax,
          applicationName: 'agent-orchestrator',
        }),
    },
    { provide: ToolTokens, useFactory: () => new ToolTokens(config.TOOL_TOKEN_KEY) },
    {
      provide: OutgoingMessages,
      inject: [PayloadCodec, ToolTokens],
      useFactory: (codec: PayloadCodec, tokens: ToolTokens) => new OutgoingMessages(codec, tokens),
    },
    {
      provide: PostgresWorkflows,
      inject: [poolToken, PayloadCodec, OutgoingMessages],
      useFactory: (pool: Pool, codec: PayloadCodec, messages: OutgoingMessages) =>
        new PostgresWorkflows({
          pool,
          codec,
          reducers,
          messages: (head, answer, context) => messages.of(head, answer, context),
        }),
    },
    {
      provide: StoredBodies,
      inject: [poolToken, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) => new StoredBodies(new Blobs(pool), codec),
    },
    { provide: InternalKey, useFactory: () => new InternalKey(config.MILLRACE_INTERNAL_KEY) },
    InternalKeyGuard,
    {
      provide: WorkflowHistory,
      inject: [PostgresWorkflows, StoredBodies],
      useFactory: (workflows: PostgresWorkflows, bodies: StoredBodies) =>
        new WorkflowHistory(workflows, reducers, bodies),
    },
    {
      provide: Outbox,
      inject: [poolToken, Publisher, Logger],
      useFactory: (pool: Pool, publisher: Publisher, log: Logger) =>
        new Outbox({
          pool,
          schema: 'orchestrator',
          publish: (messages) => publisher.publish(messages),
          isRefusal,
          onError: (error) => log.warn({ error }, 'what timers caused waits in the outbox'),
        }),
    },
    {
      provide: DayKeeper,
      inject: [poolToken, Logger],
      useFactory: (pool: Pool, log: Logger) =>
        new DayKeeper({
          pool,
          schema: 'orchestrator',
          onDropped: (dropped) => log.info(dropped, 'days were dropped'),
          onError: (error) => log.warn({ error }, 'days are kept again in an hour'),
        }),
    },
  ];
}

interface Rules {
  readonly prices: ReturnType<typeof readPrices>;
  readonly reducers: Reducers;
}

function engineProviders({ prices, reducers }: Rules): Provider[] {
  return [
    {
      provide: OrchestratorTelemetry,
      inject: [Logger, Metrics],
      useFactory: (log: Logger, metrics: Metrics) => new OrchestratorTelemetry(log, metrics),
    },
    {
      provide: WorkflowEngine,
      inject: [PostgresWorkflows, OutgoingMessages, OrchestratorTelemetry, Outbox],
      useFactory: (
        workflows: PostgresWorkflows,
        messages: OutgoingMessages,
        telemetry: OrchestratorTelemetry,
        outbox: Outbox,
      ) =>
        new WorkflowEngine({
          workflows,
          reducers,
          messages,
          telemetry,
          publish: (committed) => outbox.publish(committed),
        }),
    },
    {
      provide: WorkflowArrivals,
      inject: [PostgresWorkflows, StoredBodies, ToolTokens],
      useFactory: (workflows: PostgresWorkflows, bodies: StoredBodies, tokens: ToolTokens) => {
        const forks = new ForkSource({ workflows, bodies, reducers });
        return new WorkflowArrivals({ bodies, forks, tokens, prices });
      },
    },
    {
      provide: WorkflowTimers,
      inject: [PostgresWorkflows, WorkflowEngine, WorkflowArrivals, OrchestratorTelemetry, Logger],
      useFactory: (
        workflows: PostgresWorkflows,
        engine: WorkflowEngine,
        arrivals: WorkflowArrivals,
        telemetry: OrchestratorTelemetry,
        log: Logger,
      ) => new WorkflowTimers({ workflows, engine, arrivals, telemetry, log }),
    },
  ];
}

const lifeProvider: Provider = {
  provide: OrchestratorLife,
  inject: [poolToken, PostgresWorkflows, WorkflowTimers, Outbox, DayKeeper, Health, Metrics],
  useFactory: (
    pool: Pool,
    workflows: PostgresWorkflows,
    timers: WorkflowTimers,
    outbox: Outbox,
    days: DayKeeper,
    health: Health,
    metrics: Metrics,
  ) => new OrchestratorLife({ pool, workflows, timers, outbox, days, health, metrics }),
};
