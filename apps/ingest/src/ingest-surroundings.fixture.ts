import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { topics, type Topic } from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import {
  ChildProgram,
  KafkaReader,
  PostgresProxy,
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { Kafka, logLevel, type Producer } from 'kafkajs';

const key = 'mr_default-key-for-the-specs-of-ingest';

/** What `JSON.parse` gives: a spec states what it expects to find in it. */
type Json = ReturnType<typeof JSON.parse>;

export interface ProcessOptions {
  readonly silentMs?: number;
  /** How wrong its clock is: at first, and after each SIGUSR2. */
  readonly clockOffsetsMs?: readonly number[];
}

/** An ingest as a process of its own, which may be killed. */
export class IngestProcess {
  constructor(
    readonly program: ChildProgram,
    private readonly url: string,
  ) {}

  /** Resolves when it takes jobs in. */
  async ready(): Promise<this> {
    const asked = async (): Promise<void> => {
      for (let isReady = false; !isReady; ) {
        isReady = await fetch(`${this.url}/readyz`).then(({ ok }) => ok, () => false);
        if (!isReady) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await this.program.until(asked());
    return this;
  }

  async call(method: string, path: string, body?: object): Promise<{ status: number; body: Json }> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }

  submit(body: object): Promise<{ status: number; body: Json }> {
    return this.call('POST', '/v1/jobs', body);
  }
}

/** A Kafka and a Postgres of a spec's own, and ingest as processes beside them. */
export class IngestSurroundings {
  readonly #programs: ChildProgram[] = [];

  private constructor(
    readonly database: TestDatabase,
    readonly topics: TestTopics,
    /** Between the processes and Postgres. */
    readonly proxy: PostgresProxy,
    readonly admin: Pool,
    readonly requested: KafkaReader,
    private readonly producer: Producer,
  ) {}

  static async prepare(): Promise<IngestSurroundings> {
    const [database, made] = await Promise.all([createTestDatabase(), createTestTopics()]);
    const proxy = await PostgresProxy.start(database.url('ingest'));
    const admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
    const kafka = new Kafka({ brokers: [...made.brokers], logLevel: logLevel.NOTHING });
    const producer = kafka.producer();
    await producer.connect();
    const reader = new KafkaReader(made.prefix + topics.claudeRequested.name);
    const requested = await reader.start();
    return new IngestSurroundings(database, made, proxy, admin, requested, producer);
  }

  async start({ clockOffsetsMs = [0], silentMs }: ProcessOptions = {}): Promise<IngestProcess> {
    const port = await freePort();
    const file = join(import.meta.dirname, 'ingest-process.fixture.ts');
    const args = [this.topics.prefix, String(silentMs ?? ''), clockOffsetsMs.join(',')];
    const program = ChildProgram.start(file, args, {
      KAFKA_BROKERS: this.topics.brokers.join(','),
      HTTP_PORT: String(port),
      DATABASE_URL: this.proxy.url,
      API_DATABASE_URL: this.database.url('ingest_api'),
      MILLRACE_DEFAULT_API_KEY: key,
      MILLRACE_DEFAULT_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
      MILLRACE_CLAUDE_STAND_IN: 'true',
      LOG_LEVEL: 'error',
    });
    this.#programs.push(program);
    return new IngestProcess(program, `http://127.0.0.1:${port}`);
  }

  /** Publishes records under one key, and so to one partition. */
  async publish(topic: Topic, values: readonly string[]): Promise<void> {
    const messages = values.map((value) => ({ key: 'k', value }));
    await this.producer.send({ topic: this.topics.prefix + topic.name, messages });
  }

  /** The requests of a job that Kafka has, in their order. */
  requestsOf(id: string) {
    const ceId = `default:${id}:requested`;
    return this.requested.messages.filter(({ headers }) => headers['ce_id'] === ceId);
  }

  async rows(text: string, values: readonly unknown[] = []): Promise<Json[]> {
    return (await this.admin.query(text, [...values])).rows;
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#programs.splice(0).map((program) => program.kill()));
  }

  async close(): Promise<void> {
    await this.killAll();
    await this.requested.stop();
    await this.producer.disconnect();
    await this.admin.end();
    await this.proxy.stop();
    await this.database.drop();
    await this.topics.drop();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
