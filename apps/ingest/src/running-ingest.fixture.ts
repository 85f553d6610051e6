import type { AddressInfo } from 'node:net';

import type { Topic } from '@millrace/contracts';
import { StepsStrategy } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import { RuntimeModule, SilentLogger } from '@millrace/runtime';
import {
  KafkaReader,
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { ingestEnvironment } from './config.ts';
import { hashApiKey } from './core/api-key.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';

export const defaultKey = 'mr_default-key-for-the-specs-of-ingest';
export const otherKey = 'mr_other-key-for-the-specs-of-ingest-00';

/** What `JSON.parse` gives: a spec states what it expects to find in it. */
export type Json = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the tenant `other` asks, instead of `default`. */
  readonly asOther?: boolean;
}

/** An ingest with a database and topics of its own, and the tenants `default` and `other`. */
export class RunningIngest {
  private constructor(
    private app: NestFastifyApplication,
    private readonly database: TestDatabase,
    readonly topics: TestTopics,
    readonly admin: Pool,
    private readonly producer: Producer,
  ) {}

  static async start(
    more: Readonly<Record<string, string>> = {},
    http = httpOptions,
  ): Promise<RunningIngest> {
    const [database, testTopics] = await Promise.all([createTestDatabase(), createTestTopics()]);
    const app = await boot({ database, topics: testTopics, more, http });
    const admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
    await admin.query(`INSERT INTO ingest.tenants (id, webhook_secrets) VALUES ('other', '[]')`);
    await admin.query(
      `INSERT INTO ingest.api_keys (key_hash, tenant, label) VALUES ($1, 'other', 'spec')`,
      [hashApiKey(otherKey)],
    );
    const kafka = new Kafka({ brokers: [...testTopics.brokers], logLevel: logLevel.NOTHING });
    const producer = kafka.producer();
    await producer.connect();
    return new RunningIngest(app, database, testTopics, admin, producer);
  }

  get url(): string {
    const address: AddressInfo | string | null = this.app.getHttpServer().address();
    if (address === null || typeof address === 'string') throw new TypeError('it listens nowhere');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Of a role, for what is to be another replica. */
  databaseUrl(role: Parameters<TestDatabase['url']>[0]): string {
    return this.database.url(role);
  }

  async call(method: string, path: string, o: CallOptions = {}): Promise<Answer> {
    const body = o.body === undefined ? undefined : JSON.stringify(o.body);
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${o.asOther === true ? otherKey : defaultKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...o.headers,
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    const { status, headers } = response;
    return { status, headers, body: text === '' ? undefined : JSON.parse(text) };
  }

  reader(topic: Topic): Promise<KafkaReader> {
    return new KafkaReader(this.topics.prefix + topic.name).start();
  }

  /** Publishes one event, as often as told. */
  async publish(
    topic: Topic,
    event: {
      readonly type: string;
      readonly id: string;
      readonly key: string;
      readonly data: unknown;
      readonly times?: number;
      readonly tenant?: string;
    },
  ): Promise<void> {
    const message = {
      key: event.key,
      value: JSON.stringify(event.data),
      headers: {
        ce_id: event.id,
        ce_source: '/millrace/spec',
        ce_type: event.type,
        ce_specversion: '1.0',
        ce_tenant: event.tenant ?? 'default',
      },
    };
    const messages = Array.from({ length: event.times ?? 1 }, () => message);
    await this.producer.send({ topic: this.topics.prefix + topic.name, messages });
  }

  /** The same data, and another environment. */
  async restart(more: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.close();
    const { database, topics } = this;
    this.app = await boot({ database, topics, more, http: httpOptions });
  }

  async stop(): Promise<void> {
    await this.producer.disconnect();
    await this.close();
    await this.admin.end();
    await this.database.drop();
    await this.topics.drop();
  }

  private async close(): Promise<void> {
    await this.app.get(StepsStrategy, { strict: false }).close();
    await this.app.close();
  }
}

/** Looks again until there is something to see; the spec's own time ends it. */
export async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function boot(o: {
  readonly database: TestDatabase;
  readonly topics: TestTopics;
  readonly more: Readonly<Record<string, string>>;
  readonly http: typeof httpOptions;
}): Promise<NestFastifyApplication> {
  const config = ingestEnvironment.parse({
    KAFKA_BROKERS: o.topics.brokers.join(','),
    HTTP_PORT: '1',
    DATABASE_URL: o.database.url('ingest'),
    API_DATABASE_URL: o.database.url('ingest_api'),
    MILLRACE_DEFAULT_API_KEY: defaultKey,
    MILLRACE_DEFAULT_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8',
    MILLRACE_CLAUDE_STAND_IN: 'true',
    ...o.more,
  });
  class Root {}
  const runtime = RuntimeModule.forService(config, 'ingest', new SilentLogger());
  const ingest = IngestModule.forConfig(config, { topicPrefix: o.topics.prefix });
  const root = { module: Root, imports: [runtime, ingest] };
  const routerOptions = { maxParamLength: 256 };
  const adapter = new FastifyAdapter({ routerOptions, ...o.http });
  const created = await NestFactory.create<NestFastifyApplication>(root, adapter, {
    logger: false,
  });
  created.connectMicroservice({ strategy: created.get(StepsStrategy, { strict: false }) });
  await created.startAllMicroservices();
  await created.listen(0, '127.0.0.1');
  return created;
}
