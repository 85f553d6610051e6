import { PayloadCodec } from '@millrace/contracts';
import { KafkaClient, KafkaModule, Publisher } from '@millrace/kafka';
import { Blobs, createPool, type Pool } from '@millrace/postgres';
import { Health, Logger, Metrics } from '@millrace/runtime';
import {
  type DynamicModule,
  Inject,
  Module,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';

import { AnthropicClaudeApi } from './adapters/anthropic-claude-api.ts';
import { PostgresBacklogs } from './adapters/postgres-backlogs.ts';
import { PostgresCallLedger } from './adapters/postgres-call-ledger.ts';
import { CallWorker } from './call-worker.ts';
import { ClaudeRequestsConsumer } from './claude-requests.consumer.ts';
import type { ClaudeWorkerConfig } from './config.ts';

/** Connections to Postgres: inserts, settlements, claims, the outbox and histories side by side. */
const connectionsMax = 10;
const postgresPool = Symbol('postgres pool');
const progressPublisher = Symbol('progress publisher');

/** Wiring of claude-worker. */
@Module({})
export class ClaudeWorkerModule implements OnModuleInit, OnModuleDestroy {
  constructor(
    private readonly worker: CallWorker,
    private readonly api: AnthropicClaudeApi,
    @Inject(postgresPool) private readonly pool: Pool,
    @Inject(progressPublisher) private readonly progress: Publisher,
  ) {}

  static forConfig(config: ClaudeWorkerConfig, options: { prefix?: string } = {}): DynamicModule {
    return {
      module: ClaudeWorkerModule,
      imports: [KafkaModule.forService({ config, ...options })],
      controllers: [ClaudeRequestsConsumer],
      providers: [
        { provide: postgresPool, useFactory: () => createWorkerPool(config) },
        { provide: AnthropicClaudeApi, useFactory: () => createApi(config) },
        {
          provide: progressPublisher,
          inject: [KafkaClient, Logger, Metrics],
          useFactory: (kafka: KafkaClient, log: Logger, metrics: Metrics) =>
            new Publisher({ kafka, log, metrics, name: 'progress' }),
        },
        {
          provide: CallWorker,
          inject: [
            AnthropicClaudeApi,
            postgresPool,
            Publisher,
            progressPublisher,
            PayloadCodec,
            Logger,
            Metrics,
            Health,
          ],
          useFactory: (
            api: AnthropicClaudeApi,
            pool: Pool,
            publisher: Publisher,
            progress: Publisher,
            codec: PayloadCodec,
            log: Logger,
            metrics: Metrics,
            health: Health,
          ) => {
            const worker = new CallWorker({
              ...limitsOf(config),
              api,
              pool,
              codec,
              log,
              metrics,
              ledger: new PostgresCallLedger({ pool, codec }),
              backlogs: new PostgresBacklogs(pool),
              blobs: new Blobs(pool),
              publish: (messages) => publisher.publish(messages),
              publishProgress: (messages) => progress.publish(messages),
              stoppingMs: () => health.stoppingMs,
            });
            tellHealth(health, { config, pool, worker });
            return worker;
          },
        },
      ],
    };
  }

  async onModuleInit(): Promise<void> {
    // Ahead of the first delta; while Kafka is not up yet, that one connects instead.
    this.progress.connect().catch(() => undefined);
    await this.worker.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.worker.stop();
    await this.progress.disconnect();
    await this.api.close();
    await this.pool.end();
  }
}

function createWorkerPool(config: ClaudeWorkerConfig): Pool {
  return createPool({
    url: config.DATABASE_URL,
    max: connectionsMax,
    applicationName: 'claude-worker',
  });
}

function createApi(config: ClaudeWorkerConfig): AnthropicClaudeApi {
  return new AnthropicClaudeApi({
    apiKey: config.ANTHROPIC_API_KEY,
    baseUrl: config.ANTHROPIC_BASE_URL,
    connectionsMax: config.MAX_IN_FLIGHT,
  });
}

function limitsOf(config: ClaudeWorkerConfig) {
  return {
    deadlines: {
      firstEventMs: config.FIRST_EVENT_TIMEOUT_MS,
      progressMs: config.PROGRESS_TIMEOUT_MS,
      totalMs: config.TOTAL_TIMEOUT_MS,
    },
    limits: {
      retryBaseMs: config.RETRY_BASE_MS,
      redispatchMax: config.UNKNOWN_REDISPATCH_MAX,
    },
    sessionRetentionDays: config.SESSION_RETENTION_DAYS,
    inFlightMax: config.MAX_IN_FLIGHT,
    leaseMs: config.LEASE_MS,
    deltaLingerMs: config.DELTA_LINGER_MS,
    stopMs: config.SHUTDOWN_MS,
  };
}

interface HealthSources {
  readonly config: ClaudeWorkerConfig;
  readonly pool: Pool;
  readonly worker: CallWorker;
}

function tellHealth(health: Health, { config, pool, worker }: HealthSources): void {
  health.addCheck('postgres', async () => {
    await pool.query('SELECT 1');
  });
  health.addInfo('claude', () => ({
    stand_in: config.MILLRACE_CLAUDE_STAND_IN,
    gate: worker.gate.state.kind,
    in_flight: worker.queue.inFlight,
  }));
}
