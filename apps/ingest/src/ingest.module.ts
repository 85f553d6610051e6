import {
  PayloadCodec,
  toolSubmissionBytesMax,
  topics,
  workflowStepsBytesMax,
} from '@millrace/contracts';
import { checkUrl } from '@millrace/egress';
import { KafkaModule, Publisher, isRefusal } from '@millrace/kafka';
import {
  Blobs,
  DayKeeper,
  Outbox,
  SecretResealing,
  TenantDatabase,
  columnReseal,
  createPool,
  type Pool,
} from '@millrace/postgres';
import { Health, Logger, SecretBox } from '@millrace/runtime';
import {
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';

import { BacklogTail } from './adapters/backlog-tail.ts';
import { BlobBodies } from './adapters/blob-bodies.ts';
import { DatabaseClock } from './adapters/database-clock.ts';
import { DispatcherDeliveryLog } from './adapters/dispatcher-delivery-log.ts';
import { InternalHttpService } from './adapters/internal-http-service.ts';
import { KafkaTails } from './adapters/kafka-tails.ts';
import { OrchestratorWorkflows } from './adapters/orchestrator-workflows.ts';
import { PoolClosing } from './adapters/pool-closing.ts';
import { PostgresApiKeys } from './adapters/postgres-api-keys.ts';
import { PostgresDeadLetters } from './adapters/postgres-dead-letters.ts';
import { PostgresDocuments } from './adapters/postgres-documents.ts';
import {
  inboundSecretsColumn,
  PostgresInboundSources,
} from './adapters/postgres-inbound-sources.ts';
import { PostgresJobs } from './adapters/postgres-jobs.ts';
import { PostgresRedeliveries } from './adapters/postgres-redeliveries.ts';
import { PostgresReleases } from './adapters/postgres-releases.ts';
import { PostgresSilentJobs } from './adapters/postgres-silent-jobs.ts';
import { PostgresTenants } from './adapters/postgres-tenants.ts';
import { PostgresTimelines } from './adapters/postgres-timelines.ts';
import { PostgresToldRuns } from './adapters/postgres-told-runs.ts';
import { Admission, AdmissionSettings } from './admission.ts';
import { AdmissionCounter } from './admission-counter.ts';
import { ApiKeyAuth, OperatorKey } from './api-key-auth.ts';
import { ApiKeysController } from './api-keys.controller.ts';
import { BlobPurge } from './blob-purge.ts';
import { ClaudeInfo } from './claude-info.ts';
import type { IngestConfig } from './config.ts';
import { DeadLetterRedrive } from './dead-letter-redrive.ts';
import { DeadLettersConsumer } from './dead-letters.consumer.ts';
import { DeadLettersController } from './dead-letters.controller.ts';
import { DefaultCredentials, DefaultTenant } from './default-tenant.ts';
import { DocumentUploads } from './document-uploads.ts';
import { DeliveriesController } from './deliveries.controller.ts';
import { DocumentUploadsController } from './document-uploads.controller.ts';
import { DocumentsController } from './documents.controller.ts';
import { silenceTimesDefault, type SilenceTimes } from './core/silence.ts';
import { EndTelemetry } from './end-telemetry.ts';
import { FinishedJobsConsumer } from './finished-jobs.consumer.ts';
import { HttpEdge } from './http-edge.ts';
import { InboundController } from './inbound.controller.ts';
import { InboundIntake } from './inbound-intake.ts';
import { InboundSourcesController } from './inbound-sources.controller.ts';
import { InternalProxy } from './internal-proxy.ts';
import { JobBatch } from './job-batch.ts';
import { JobCancel } from './job-cancel.ts';
import { JobCancelController } from './job-cancel.controller.ts';
import { JobEvents } from './job-events.ts';
import { JobFollower } from './job-follower.ts';
import { JobForksController } from './job-forks.controller.ts';
import { JobForks } from './job-forks.ts';
import { JobIntake } from './job-intake.ts';
import { JobPreparation } from './job-preparation.ts';
import { JobReader } from './job-reader.ts';
import { JobReleases } from './job-releases.ts';
import { JobRunsController } from './job-runs.controller.ts';
import { JobRuns } from './job-runs.ts';
import { JobTimelineController } from './job-timeline.controller.ts';
import { JobsBatchController } from './jobs-batch.controller.ts';
import { JobsController } from './jobs.controller.ts';
import { KafkaIntakeConsumer } from './kafka-intake.consumer.ts';
import { LiveJobs } from './live-jobs.ts';
import { OwnLoad } from './own-load.ts';
import { PlatformLoad } from './platform-load.ts';
import {
  Announcements,
  ApiKeys,
  Clock,
  DeadLetters,
  DeliveryLog,
  Documents,
  InboundSources,
  IntakePolicy,
  JobTimelines,
  Jobs,
  LargeBodies,
  LiveFeed,
  Redeliveries,
  Releases,
  SilentJobs,
  Tenants,
  ToldRuns,
  ToolRegistry,
  WebhookManagement,
  Workflows,
} from './ports.ts';
import { ProblemFilter } from './problem-filter.ts';
import { ProgressedJobsConsumer } from './progressed-jobs.consumer.ts';
import { RedeliveriesController } from './redeliveries.controller.ts';
import { RedeliveryPass } from './redelivery-pass.ts';
import { RedriveBatchController } from './redrive-batch.controller.ts';
import { RedriveBatches } from './redrive-batches.ts';
import { ReplayBatchController } from './replay-batch.controller.ts';
import { RequestFacts } from './request-facts.ts';
import { HttpLimits, RequestsInFlight } from './requests-in-flight.ts';
import { SessionsController } from './sessions.controller.ts';
import { SilentRequests } from './silent-requests.ts';
import { SseConnections } from './sse-connections.ts';
import { StreamController } from './stream.controller.ts';
import { StreamSettings, streamSettings } from './stream-settings.ts';
import { SubmissionCounter } from './submission-counter.ts';
import { TenantAdmin } from './tenant-admin.ts';
import { tenantReseal } from './tenant-reseal.ts';
import { TenantTeller } from './tenant-teller.ts';
import { TenantTopics } from './tenant-topics.ts';
import { TenantsController } from './tenants.controller.ts';
import { ToldRunKeeper } from './told-run-keeper.ts';
import { ToolsController } from './tools.controller.ts';
import { WebhookEndpointsController } from './webhook-endpoints.controller.ts';

/** Connections of one process: five group commits, reads of the API, the outbox. */
const poolConnectionsMax = 12;

/** Connections that answer one tenant at a time: a read holds one for about a millisecond. */
const apiConnectionsMax = 6;

/**
 * Requests of one process under way: more would only wait for the 18 connections above, and some
 * ten thousand requests a second go through them in a tenth of that.
 */
const requestsMax = 2_000;

/** The pool under a token of its own, as its type is an interface. */
export const ingestPool = Symbol('ingest pool');
/** The same of the role `ingest_api`. */
const apiPool = Symbol('ingest API pool');

export interface IngestModuleOptions {
  /** Before every topic and group: for specs that share a broker. */
  readonly topicPrefix?: string;
  /** For specs that cannot wait a quarter of an hour. */
  readonly streams?: Partial<StreamSettings>;
  /** Of jobs that nobody hears of: for specs that cannot wait for minutes. */
  readonly silence?: SilenceTimes;
}

/** Wiring of the front door. */
@Module({})
export class IngestModule
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown
{
  constructor(
    private readonly clock: DatabaseClock,
    private readonly jobs: PostgresJobs,
    private readonly outbox: Outbox,
    private readonly tails: KafkaTails,
    private readonly backlog: BacklogTail,
    private readonly tenantTopics: TenantTopics,
    private readonly purge: BlobPurge,
    private readonly days: DayKeeper,
    private readonly releases: JobReleases,
    private readonly silent: SilentRequests,
    private readonly redelivering: RedeliveryPass,
    private readonly resealing: SecretResealing,
    private readonly closing: PoolClosing,
    private readonly log: Logger,
  ) {}

  static forConfig(config: IngestConfig, options: IngestModuleOptions = {}): DynamicModule {
    const kafka = KafkaModule.forService({
      config,
      tails: [topics.claudeDeltas, topics.claudeBacklog],
      // Jobs by HTTP are accepted without it, over the outbox.
      readyWithoutKafka: true,
      ...(options.topicPrefix === undefined ? {} : { prefix: options.topicPrefix }),
    });
    return {
      module: IngestModule,
      imports: [kafka],
      controllers: [
        JobsController,
        SessionsController,
        JobsBatchController,
        JobCancelController,
        JobRunsController,
        JobForksController,
        JobTimelineController,
        StreamController,
        DocumentsController,
        KafkaIntakeConsumer,
        FinishedJobsConsumer,
        ProgressedJobsConsumer,
        RedriveBatchController,
        DeadLettersController,
        DeadLettersConsumer,
        RedeliveriesController,
        TenantsController,
        DocumentUploadsController,
        ApiKeysController,
        ToolsController,
        WebhookEndpointsController,
        ReplayBatchController,
        DeliveriesController,
        InboundController,
        InboundSourcesController,
      ],
      providers: [
        ...adapters(config),
        ...shells,
        { provide: StreamSettings, useValue: streamSettings(config, options.streams) },
        ...timed(options.silence),
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }

  /** Before anything is accepted, so that it has the database's time. */
  async onModuleInit(): Promise<void> {
    await this.clock.start();
  }

  /** In the background: HTTP is served, and jobs are accepted, while Kafka is still away. */
  onApplicationBootstrap(): void {
    this.outbox.start();
    this.purge.start();
    this.days.start();
    this.tenantTopics.start();
    this.releases.start();
    this.silent.start();
    this.redelivering.start();
    this.resealing.start();
    this.backlog.start().catch((error: unknown) => {
      this.log.error({ error }, 'nothing is refused for what waits at the workers');
    });
    this.tails.start().catch((error: unknown) => {
      this.log.error({ error }, 'event streams will only show the ends of jobs');
    });
  }

  async onModuleDestroy(): Promise<void> {
    this.purge.stop();
    await this.tenantTopics.stop();
    const timed = [this.days, this.releases, this.silent, this.redelivering, this.resealing];
    await Promise.all(timed.map((work) => work.stop()));
    await Promise.all([this.tails.stop(), this.backlog.stop()]);
  }

  /** After the last request: what it committed is sent, or left to the sweep. */
  async onApplicationShutdown(): Promise<void> {
    await this.clock.stop();
    await this.jobs.close();
    await this.outbox.stop();
    await this.closing.close();
  }
}

const shells: Provider[] = [
  Admission,
  AdmissionCounter,
  ApiKeyAuth,
  BlobPurge,
  DocumentUploads,
  DeadLetterRedrive,
  DefaultTenant,
  EndTelemetry,
  HttpEdge,
  InboundIntake,
  InternalProxy,
  JobBatch,
  JobCancel,
  JobEvents,
  JobFollower,
  JobForks,
  JobIntake,
  JobPreparation,
  JobReader,
  JobReleases,
  JobRuns,
  LiveJobs,
  OwnLoad,
  PlatformLoad,
  RedeliveryPass,
  RedriveBatches,
  RequestFacts,
  RequestsInFlight,
  SseConnections,
  SubmissionCounter,
  TenantAdmin,
  TenantTeller,
  TenantTopics,
  ToldRunKeeper,
];

function adapters(config: IngestConfig): Provider[] {
  return [
    ...connections(config),
    ...databaseAdapters,
    ...kafkaAdapters(),
    ...internalServices(config),
    ...settings(config),
  ];
}

/** What is known of jobs. */
const jobAdapters: Provider[] = [
  {
    provide: PostgresJobs,
    inject: [ingestPool, TenantDatabase, PayloadCodec, LargeBodies],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec, bodies: LargeBodies) =>
      new PostgresJobs({ pool, own, codec, bodies }),
  },
  { provide: Jobs, useExisting: PostgresJobs },
  {
    provide: JobTimelines,
    inject: [ingestPool, TenantDatabase, PayloadCodec],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec) =>
      new PostgresTimelines({ pool, own, codec }),
  },
  {
    provide: ToldRuns,
    inject: [ingestPool, TenantDatabase, PayloadCodec, Logger],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec, log: Logger) =>
      new PostgresToldRuns({ pool, own, codec, log }),
  },
  {
    provide: DeadLetters,
    inject: [ingestPool, TenantDatabase, PayloadCodec],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec) =>
      new PostgresDeadLetters({ pool, own, codec }),
  },
  {
    provide: Redeliveries,
    inject: [ingestPool, TenantDatabase, PayloadCodec],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec) =>
      new PostgresRedeliveries({ pool, own, codec }),
  },
];

/** The connections, and the time that is told over them. */
function connections(config: IngestConfig): Provider[] {
  return [
    {
      provide: ingestPool,
      inject: [Health],
      useFactory: (health: Health) => createWatchedPool(config, health),
    },
    {
      provide: apiPool,
      useFactory: () =>
        createPool({
          url: config.API_DATABASE_URL,
          max: apiConnectionsMax,
          applicationName: 'ingest-api',
          pipeline: true,
        }),
    },
    {
      provide: TenantDatabase,
      inject: [apiPool],
      useFactory: (pool: Pool) => new TenantDatabase(pool),
    },
    {
      provide: DatabaseClock,
      inject: [ingestPool, Logger],
      useFactory: (pool: Pool, log: Logger) =>
        new DatabaseClock({
          pool,
          onError: (error) => log.warn({ error }, 'the database did not tell the time'),
        }),
    },
    { provide: Clock, useExisting: DatabaseClock },
    {
      provide: PoolClosing,
      inject: [ingestPool, apiPool],
      useFactory: (...pools: Pool[]) => new PoolClosing(pools),
    },
  ];
}

const databaseAdapters: Provider[] = [
  {
    provide: DayKeeper,
    inject: [ingestPool, Logger],
    useFactory: (pool: Pool, log: Logger) =>
      new DayKeeper({
        pool,
        schema: 'ingest',
        onDropped: (dropped) => log.info(dropped, 'days were dropped'),
        onError: (error) => log.warn({ error }, 'days are kept again in an hour'),
      }),
  },
  {
    provide: LargeBodies,
    inject: [ingestPool, TenantDatabase, PayloadCodec],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec) =>
      new BlobBodies({ blobs: new Blobs(pool), own, codec }),
  },
  {
    provide: Documents,
    inject: [ingestPool, TenantDatabase, PayloadCodec],
    useFactory: (pool: Pool, own: TenantDatabase, codec: PayloadCodec) =>
      new PostgresDocuments({ pool, blobs: new Blobs(pool), own, codec }),
  },
  ...jobAdapters,
  {
    provide: ApiKeys,
    inject: [ingestPool, TenantDatabase],
    useFactory: (pool: Pool, own: TenantDatabase) => new PostgresApiKeys(pool, own),
  },
  {
    provide: InboundSources,
    inject: [ingestPool, TenantDatabase, SecretBox],
    useFactory: (pool: Pool, own: TenantDatabase, box: SecretBox) =>
      new PostgresInboundSources({ pool, own, box }),
  },
  {
    provide: Tenants,
    inject: [ingestPool, SecretBox],
    useFactory: (pool: Pool, box: SecretBox) => new PostgresTenants(pool, box),
  },
  {
    provide: SecretResealing,
    inject: [ingestPool, SecretBox, Tenants, TenantTeller, Announcements, Logger],
    useFactory: (
      pool: Pool,
      box: SecretBox,
      tenants: Tenants,
      teller: TenantTeller,
      announcements: Announcements,
      log: Logger,
    ) => {
      const sources = columnReseal({ pool, box, column: inboundSecretsColumn });
      const passes = [tenantReseal({ tenants, teller, announcements, log }), sources];
      return new SecretResealing({ box, passes, log });
    },
  },
];

/** What waits for its time, and what has been waited for too long. */
function timed(times: SilenceTimes = silenceTimesDefault): Provider[] {
  return [
    {
      provide: Releases,
      inject: [ingestPool, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) =>
        new PostgresReleases({ pool, codec, silentMs: times.silentMs }),
    },
    {
      provide: SilentJobs,
      inject: [ingestPool, PayloadCodec],
      useFactory: (pool: Pool, codec: PayloadCodec) =>
        new PostgresSilentJobs({ pool, codec, times }),
    },
    {
      provide: SilentRequests,
      inject: [SilentJobs, Announcements, PayloadCodec, Logger],
      useFactory: (
        silent: SilentJobs,
        announcements: Announcements,
        codec: PayloadCodec,
        log: Logger,
      ) => {
        const { lookEveryMs } = times;
        return new SilentRequests({ silent, announcements, codec, log, lookEveryMs });
      },
    },
  ];
}

function createWatchedPool(config: IngestConfig, health: Health): Pool {
  const pool = createPool({
    url: config.DATABASE_URL,
    max: poolConnectionsMax,
    applicationName: 'ingest',
  });
  health.addCheck('postgres', async () => {
    await pool.query('SELECT 1');
  });
  return pool;
}

function kafkaAdapters(): Provider[] {
  return [
    {
      provide: Outbox,
      inject: [ingestPool, Publisher, Logger],
      useFactory: (pool: Pool, publisher: Publisher, log: Logger) =>
        new Outbox({
          pool,
          schema: 'ingest',
          publish: (messages) => publisher.publish(messages),
          isRefusal,
          onError: (error) => log.warn({ error }, 'the outbox will try again'),
        }),
    },
    { provide: Announcements, useExisting: Outbox },
    BacklogTail,
    KafkaTails,
    { provide: LiveFeed, useExisting: KafkaTails },
  ];
}

function settings(config: IngestConfig): Provider[] {
  const policy = { allowedCidrs: config.MILLRACE_EGRESS_ALLOWED_CIDRS };
  const rules: IntakePolicy['rules'] = {
    defaultModel: config.MILLRACE_DEFAULT_MODEL,
    checkUrl: (raw) => checkUrl(raw, policy),
  };
  const { MILLRACE_DEFAULT_API_KEY: key, MILLRACE_DEFAULT_WEBHOOK_SECRET: secret } = config;
  return [
    { provide: IntakePolicy, useValue: { rules } },
    { provide: OperatorKey, useValue: new OperatorKey(config.MILLRACE_ADMIN_API_KEY) },
    {
      provide: AdmissionSettings,
      useValue: {
        tenantWaitingMax: config.ADMISSION_TENANT_WAITING_MAX,
        ageMsMax: config.ADMISSION_AGE_MS,
      },
    },
    { provide: HttpLimits, useValue: { requestsMax, bodyBytesMax: config.BODY_BYTES_MAX } },
    { provide: DefaultCredentials, useValue: new DefaultCredentials(key, secret) },
    {
      provide: ClaudeInfo,
      inject: [Health],
      useFactory: (health: Health) => new ClaudeInfo(config, health),
    },
  ];
}

/** The services that are asked while somebody waits. */
function internalServices(config: IngestConfig): Provider[] {
  const { MILLRACE_INTERNAL_KEY: key } = config;
  const service = (
    name: string,
    url: string | undefined,
    limits: { readonly answerMsMax: number; readonly answerBytesMax: number },
  ) => {
    const address = url === undefined || key === undefined ? null : { url, key };
    return (log: Logger) => new InternalHttpService({ service: name, address, log, ...limits });
  };
  const dispatcher = service('webhook-dispatcher', config.MILLRACE_DISPATCHER_URL, {
    answerMsMax: 2_000,
    // A hundred times what a job with every attempt has.
    answerBytesMax: 1024 * 1024,
  });
  const orchestrator = service('agent-orchestrator', config.MILLRACE_ORCHESTRATOR_URL, {
    answerMsMax: 2_000,
    // Inputs and outputs are bounded there; the rest of a thousand steps is as much again.
    answerBytesMax: workflowStepsBytesMax * 4,
  });
  const toolRunner = service('tool-runner', config.MILLRACE_TOOL_RUNNER_URL, {
    answerMsMax: 5_000,
    // A page of registrations, each as large as they are in practice, and some of the largest.
    answerBytesMax: toolSubmissionBytesMax * 32,
  });
  const webhooks = service('webhook-dispatcher', config.MILLRACE_DISPATCHER_URL, {
    answerMsMax: 10_000,
    // The attempts of a delivery with all that the receiver said, escaped as JSON wants it.
    answerBytesMax: 8 * 1024 * 1024,
  });
  return [
    {
      provide: DeliveryLog,
      inject: [Logger],
      useFactory: (log: Logger) => new DispatcherDeliveryLog(dispatcher(log), log),
    },
    {
      provide: Workflows,
      inject: [Logger],
      useFactory: (log: Logger) => new OrchestratorWorkflows(orchestrator(log), log),
    },
    { provide: ToolRegistry, inject: [Logger], useFactory: toolRunner },
    { provide: WebhookManagement, inject: [Logger], useFactory: webhooks },
  ];
}
