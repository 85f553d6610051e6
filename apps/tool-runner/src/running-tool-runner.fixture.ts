import {
  documentSplitSchema,
  httpHeaders,
  IdentityPayloadCodec,
  toolCompletedSchema,
  toolDescribedSchema,
  topics,
  type DocumentSplit,
  type OutgoingMessage,
  type ToolCompleted,
  type ToolDescribed,
} from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import {
  extractTrace,
  Metrics,
  parseConfig,
  RuntimeModule,
  ServiceTransport,
  SilentLogger,
} from '@millrace/runtime';
import {
  createTestDatabase,
  createTestTopics,
  KafkaReader,
  PostgresProxy,
  type ReadMessage,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { WorkQueue } from '@millrace/work';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { configSchema } from './config.ts';
import { ToolRunnerModule, type ToolRunnerOptions } from './tool-runner.module.ts';

const internalKey = Buffer.alloc(32, 5).toString('base64url');
const log = new SilentLogger();
const codec = new IdentityPayloadCodec();
/** Of the request that every call belongs to. */
const traceparent = `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`;
/** Of the job's acceptance. */
const createdAt = new Date().toISOString();

export const tenantSecret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** What a spec says of a request; the rest is made up. */
export interface CallFacts {
  readonly tool: string;
  readonly version?: number;
  readonly arguments?: Record<string, unknown>;
  readonly completeBy?: Date;
}

export interface RunningOptions extends Pick<ToolRunnerOptions, 'resolve' | 'unheldAgeMs'> {
  /** False: it only serves its routes. */
  readonly consumes?: boolean;
}

/** tool-runner beside a Kafka and a Postgres of its own, and what it publishes. */
export class RunningToolRunner {
  private constructor(
    readonly database: TestDatabase,
    readonly kafka: TestTopics,
    private readonly publisher: Publisher,
    private readonly completions: KafkaReader,
    /** Between the pipeline's pool and Postgres. */
    readonly proxy: PostgresProxy,
    private app: NestFastifyApplication | null,
  ) {}

  static async start(
    env: Record<string, string> = {},
    options: RunningOptions = {},
  ): Promise<RunningToolRunner> {
    const [database, kafka] = await Promise.all([createTestDatabase(), createTestTopics()]);
    const client = createKafka({ ...kafka, clientId: 'spec', log });
    const publisher = new Publisher({ kafka: client, name: 'spec', log, metrics: new Metrics() });
    await publisher.connect();
    const reader = new KafkaReader(kafka.prefix + topics.toolsCompleted.name);
    const completions = await reader.start();
    const proxy = await PostgresProxy.start(database.url('tool_runner'));
    const runner = new RunningToolRunner(database, kafka, publisher, completions, proxy, null);
    const throughProxy = { ...env, DATABASE_URL: proxy.url };
    runner.app = await runner.#boot(throughProxy, options);
    await runner.tellTenant('default');
    return runner;
  }

  /** What a process of this service needs in its environment. */
  environment(): Record<string, string> {
    return {
      KAFKA_BROKERS: this.kafka.brokers.join(','),
      DATABASE_URL: this.database.url('tool_runner'),
      API_DATABASE_URL: this.database.url('tool_runner_api'),
      HTTP_PORT: '1',
      MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8,::1/128',
      MILLRACE_INTERNAL_KEY: internalKey,
      RETRY_BASE_MS: '20',
      LEASE_MS: '3000',
    };
  }

  async tellTenant(tenant: string): Promise<void> {
    const data = {
      tenant,
      webhook_secrets: [tenantSecret],
      changed_at: new Date().toISOString(),
    };
    await this.publisher.publish([
      eventMessage({
        topic: topics.tenantsChanged,
        type: 'millrace.tenant.changed.v1',
        id: `${tenant}:changed:1`,
        source: 'ingest',
        key: tenant,
        time: new Date(),
        tenant,
        data,
        codec,
        context: ROOT_CONTEXT,
      }),
    ]);
  }

  /** A request to the management routes. */
  ask(
    method: 'GET' | 'PUT' | 'DELETE',
    path: string,
    options: { body?: unknown; tenant?: string; key?: string } = {},
  ) {
    const { body, key = internalKey, tenant = 'default' } = options;
    if (this.app === null) throw new Error('not running');
    return this.app.inject({
      method,
      url: `/internal/tenants/${tenant}/tools${path}`,
      headers: { [httpHeaders.internalKey]: key },
      ...(body === undefined ? {} : { payload: Object(body) }),
    });
  }

  /** Registers an HTTP tool that takes anything. */
  async register(name: string, url: string, fields: Record<string, unknown> = {}): Promise<number> {
    const body = {
      description: `the tool ${name}`,
      input_schema: { type: 'object' },
      target: { kind: 'http', url },
      ...fields,
    };
    const answer = await this.ask('PUT', `/${name}`, { body });
    if (answer.statusCode !== 200) throw new Error(answer.body);
    return answer.json<{ version: number }>().version;
  }

  /** The event that asks for a call. */
  runRequest(callId: string, facts: CallFacts): OutgoingMessage {
    const { completeBy, tool, version = 1 } = facts;
    return this.#event('millrace.tool.run-requested.v1', callId, {
      job_id: workflowOf(callId),
      tool,
      tool_version: version,
      arguments: facts.arguments ?? {},
      ...(completeBy === undefined ? {} : { complete_by: completeBy.toISOString() }),
    });
  }

  describeRequest(callId: string, tools: readonly string[]): OutgoingMessage {
    return this.#event('millrace.tool.describe-requested.v1', callId, {
      job_id: workflowOf(callId),
      tools,
    });
  }

  cancelRequest(callId: string): OutgoingMessage {
    return this.#event('millrace.tool.cancel-requested.v1', callId, {});
  }

  publish(messages: readonly OutgoingMessage[]): Promise<void> {
    return this.publisher.publish(messages);
  }

  /** Asks for a call, twice, and waits for its end. */
  async call(callId: string, facts: CallFacts): Promise<ToolCompleted> {
    const request = this.runRequest(callId, facts);
    await this.publish([request, request]);
    return this.completion(callId);
  }

  async completion(callId: string): Promise<ToolCompleted> {
    const [record] = await this.records(callId, 1);
    return toolCompletedSchema.parse(JSON.parse(String(record?.value)));
  }

  async described(callId: string, tools: readonly string[]): Promise<ToolDescribed> {
    const request = this.describeRequest(callId, tools);
    await this.publish([request, request]);
    const [record] = await this.records(callId, 1);
    return toolDescribedSchema.parse(JSON.parse(String(record?.value)));
  }

  /** Asks for a document to be split, twice, and waits for its parts. */
  async split(callId: string, params: object): Promise<DocumentSplit> {
    const data = { job_id: workflowOf(callId), params };
    const request = this.#event('millrace.document.split-requested.v1', callId, data);
    await this.publish([request, request]);
    const [record] = await this.records(callId, 1);
    return documentSplitSchema.parse(JSON.parse(String(record?.value)));
  }

  /** The records that tell of a call, when there are so many. */
  async records(callId: string, count: number): Promise<readonly ReadMessage[]> {
    const id = `default:${callId}:completed`;
    const of = (messages: readonly ReadMessage[]) =>
      messages.filter(({ headers }) => headers['ce_id'] === id);
    return of(await this.completions.waitFor((messages) => of(messages).length >= count));
  }

  async stop(): Promise<void> {
    await this.app?.get(ServiceTransport).close();
    await this.app?.close();
    await this.completions.stop();
    await this.publisher.disconnect();
    await this.proxy.stop();
    await this.kafka.drop();
    await this.database.drop();
  }

  #event(type: string, callId: string, data: object): OutgoingMessage {
    const workflow = workflowOf(callId);
    return eventMessage({
      topic: topics.toolsRun,
      type,
      id: `default:${callId}:${type}`,
      source: 'agent-orchestrator',
      subject: workflow,
      key: `default/${workflow}`,
      time: new Date(),
      tenant: 'default',
      data: {
        tenant: 'default',
        workflow_id: workflow,
        created_at: createdAt,
        call_id: callId,
        token: `v1.default.${createdAt.slice(0, 10)}.token-of-${callId}`,
        ...data,
      },
      codec,
      context: extractTrace({ traceparent }),
    });
  }

  async #boot(
    env: Record<string, string>,
    { consumes = true, ...more }: RunningOptions,
  ): Promise<NestFastifyApplication> {
    const config = parseConfig(configSchema, { ...this.environment(), ...env });
    const module = await Test.createTestingModule({
      imports: [
        RuntimeModule.forService(config, 'tool-runner', log),
        ToolRunnerModule.forConfig(config, { kafkaPrefix: this.kafka.prefix, ...more }),
      ],
    }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
      logger: false,
    });
    if (consumes) app.connectMicroservice({ strategy: app.get(ServiceTransport) });
    await app.init();
    if (consumes) await app.startAllMicroservices();
    // Or it would run calls that a spec's own processes are to run.
    else await app.get(WorkQueue).stop({ deadlineMs: 0 });
    return app;
  }
}

function workflowOf(callId: string): string {
  return callId.split('/')[0] ?? callId;
}
