import {
  type ClaudeCancelRequested,
  type ClaudeRequested,
  IdentityPayloadCodec,
  type OutgoingMessage,
  topics,
} from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import { Metrics, RuntimeModule, ServiceTransport, SilentLogger } from '@millrace/runtime';
import {
  createTestDatabase,
  createTestTopics,
  type FakeClaudeServer,
  KafkaReader,
  startFakeClaudeServer,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import pg from 'pg';

import { ClaudeWorkerModule } from './claude-worker.module.ts';
import { claudeWorkerEnvironment } from './config.ts';

const log = new SilentLogger();

/** A Kafka, a Postgres and a Claude of a spec's own, and the workers that it starts beside them. */
export class RunningWorkers {
  readonly sql: pg.Pool;
  readonly publisher: Publisher;
  private readonly apps = new Set<NestFastifyApplication>();

  private constructor(
    readonly database: TestDatabase,
    readonly claude: FakeClaudeServer,
    readonly kafka: TestTopics,
  ) {
    const client = createKafka({ ...kafka, clientId: 'spec', log });
    this.publisher = new Publisher({ kafka: client, name: 'spec', log, metrics: new Metrics() });
    this.sql = new pg.Pool({ connectionString: database.adminUrl, max: 2 });
    this.sql.on('error', () => undefined);
  }

  /** @param brokers of a Kafka of the spec's own */
  static async prepare(brokers?: readonly string[]): Promise<RunningWorkers> {
    const kafka = createTestTopics(undefined, brokers);
    const made = [createTestDatabase(), startFakeClaudeServer(), kafka] as const;
    return new RunningWorkers(...(await Promise.all(made)));
  }

  reader(topic: string): Promise<KafkaReader> {
    return new KafkaReader(this.kafka.prefix + topic, [...this.kafka.brokers]).start();
  }

  /** What a worker needs in its environment. */
  environment(): Record<string, string> {
    return {
      KAFKA_BROKERS: this.kafka.brokers.join(','),
      DATABASE_URL: this.database.url('claude_worker'),
      HTTP_PORT: '1',
      ANTHROPIC_API_KEY: 'for-specs-only',
      ANTHROPIC_BASE_URL: this.claude.url,
      RETRY_BASE_MS: '20',
      // Longer than a busy machine holds up the event loop: a lost lease pays calls twice.
      LEASE_MS: '4000',
      SHUTDOWN_MS: '5000',
    };
  }

  async start(environment: Record<string, string> = {}): Promise<NestFastifyApplication> {
    const config = claudeWorkerEnvironment.parse({ ...this.environment(), ...environment });
    const module = await Test.createTestingModule({
      imports: [
        RuntimeModule.forService(config, 'claude-worker', log),
        ClaudeWorkerModule.forConfig(config, { prefix: this.kafka.prefix }),
      ],
    }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    app.useLogger(false);
    app.connectMicroservice({ strategy: app.get(ServiceTransport) });
    this.apps.add(app);
    await app.init();
    await app.startAllMicroservices();
    return app;
  }

  async stop(app: NestFastifyApplication): Promise<void> {
    this.apps.delete(app);
    await app.get(ServiceTransport).close();
    await app.close();
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.apps].map((app) => this.stop(app)));
  }

  async rows(query: string, values: unknown[] = []): Promise<unknown[]> {
    return (await this.sql.query(query, values)).rows;
  }

  async close(): Promise<void> {
    await this.publisher.disconnect();
    await this.claude.close();
    await this.sql.end();
    await this.database.drop();
    await this.kafka.drop();
  }
}

/** Who asks for a call: ingest by its job or session, a workflow by its own key. */
function askerOf({ call_id, reply, session_id, tenant }: ClaudeRequested | ClaudeCancelRequested) {
  return reply.kind === 'workflow'
    ? ({ source: 'agent-orchestrator', key: `${tenant}/${reply.workflow_id}` } as const)
    : ({ source: 'ingest', key: `${tenant}/${session_id ?? call_id}` } as const);
}

/** The event that asks for a call. */
export function requested(data: ClaudeRequested): OutgoingMessage {
  return eventMessage<ClaudeRequested>({
    topic: topics.claudeRequested,
    type: 'millrace.claude.requested.v1',
    id: `${data.tenant}:${data.call_id}:requested`,
    ...askerOf(data),
    subject: data.call_id,
    time: new Date(),
    tenant: data.tenant,
    data,
    codec: new IdentityPayloadCodec(),
    context: ROOT_CONTEXT,
  });
}

/** A cancel, by the topic and key of its request. */
export function cancelRequested(request: ClaudeRequested): OutgoingMessage {
  const { tenant, call_id, session_id, session_seq, reply } = request;
  return eventMessage<ClaudeCancelRequested>({
    topic: topics.claudeRequested,
    type: 'millrace.claude.cancel-requested.v1',
    id: `${tenant}:${call_id}:cancel-requested`,
    ...askerOf(request),
    subject: call_id,
    time: new Date(),
    tenant,
    data: { tenant, call_id, session_id, session_seq, reply },
    codec: new IdentityPayloadCodec(),
    context: ROOT_CONTEXT,
  });
}
