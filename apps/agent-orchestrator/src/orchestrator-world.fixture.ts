import {
  claudeRequestedSchema,
  IdentityPayloadCodec,
  toolDescribeRequestedSchema,
  toolRequestedSchema,
  toolRunRequestedSchema,
  topics,
  type ClaudeRequested,
  type OutgoingMessage,
  type Topic,
  type ToolRequested,
} from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import {
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
  type ReadMessage,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { AgentOrchestratorModule } from './agent-orchestrator.module.ts';
import { configSchema } from './config.ts';

const log = new SilentLogger();
/** Copies of one request that are answered: who reads all anew asks for all anew. */
const copiesAnsweredMax = 3;
const codec = new IdentityPayloadCodec();
/** Of one of its two attempts. */
export const briefSeconds = 2;
export const internalKey = Buffer.alloc(32, 5).toString('base64url');
export const createdAt = '2026-11-24T10:00:00.000Z';

/** Seals what a tool's result has to bring back. */
export const tokenKey = Buffer.alloc(32, 6).toString('base64url');

/** What the fake model answers: a `tool_use` of these, turn by turn, and then text. */
export interface Script {
  readonly turns: readonly (readonly { readonly name: string; readonly input: object }[])[];
}

/**
 * Kafka and Postgres as they are, and agent-orchestrator in them; the model and the tools are
 * fakes, which read what is asked and answer everything twice.
 */
export class OrchestratorWorld {
  readonly #readers: KafkaReader[] = [];
  readonly #apps: NestFastifyApplication[] = [];
  readonly results: KafkaReader;
  readonly deadLetters: KafkaReader;
  /** Calls of `held` and `brief`, which nobody answers by himself. */
  readonly held: ToolRequested[] = [];
  /** Cancels of model calls, by call. */
  readonly cancelledCalls = new Set<string>();

  private constructor(
    readonly database: TestDatabase,
    readonly isolated: TestTopics,
    readonly publisher: Publisher,
  ) {
    this.results = new KafkaReader(`${isolated.prefix}jobs.finished.v1`);
    this.deadLetters = new KafkaReader(`${isolated.prefix}tools.completed.v1.dlq`);
    this.#readers.push(this.results, this.deadLetters);
  }

  static async start(): Promise<OrchestratorWorld> {
    const [database, isolated] = await Promise.all([createTestDatabase(), createTestTopics()]);
    const kafka = createKafka({ ...isolated, clientId: 'spec', log });
    const publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
    await publisher.connect();
    const world = new OrchestratorWorld(database, isolated, publisher);
    await Promise.all([world.results.start(), world.deadLetters.start()]);
    return world;
  }

  /** What a process of this service needs in its environment. */
  environment(): Record<string, string> {
    return {
      KAFKA_BROKERS: this.isolated.brokers.join(','),
      DATABASE_URL: this.database.url('agent_orchestrator'),
      TOOL_TOKEN_KEY: tokenKey,
      MILLRACE_INTERNAL_KEY: internalKey,
      HTTP_PORT: '1',
    };
  }

  async startOrchestrator(env: Record<string, string> = {}): Promise<NestFastifyApplication> {
    const config = parseConfig(configSchema, { ...this.environment(), ...env });
    const module = await Test.createTestingModule({
      imports: [
        RuntimeModule.forService(config, 'agent-orchestrator', log),
        AgentOrchestratorModule.forConfig(config, { kafkaPrefix: this.isolated.prefix }),
      ],
    }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
      logger: false,
    });
    app.connectMicroservice({ strategy: app.get(ServiceTransport) });
    await app.init();
    await app.startAllMicroservices();
    this.#apps.push(app);
    return app;
  }

  async stop(): Promise<void> {
    for (const app of this.#apps) {
      await app.get(ServiceTransport).close();
      await app.close();
    }
    for (const reader of this.#readers) await reader.stop();
    await this.publisher.disconnect();
    await this.isolated.drop();
    await this.database.drop();
  }

  /** Publishes an event as often as is said: at least twice is what Kafka promises. */
  async tell(options: {
    readonly topic: Topic;
    readonly type: string;
    readonly id: string;
    readonly key: string;
    readonly data: object;
    readonly times?: number;
  }): Promise<void> {
    const { times = 2, ...event } = options;
    const message: OutgoingMessage = eventMessage({
      ...event,
      source: 'ingest',
      time: new Date(),
      tenant: 'default',
      codec,
      context: ROOT_CONTEXT,
    });
    await this.publisher.publish(Array.from({ length: times }, () => message));
  }

  async submit(
    jobId: string,
    more: { readonly params?: object; readonly fork?: object; readonly budget?: object } = {},
  ) {
    await this.tell({
      topic: topics.workflowsRequested,
      type: 'millrace.workflow.requested.v1',
      id: `default:${jobId}:requested`,
      key: `default/${jobId}`,
      data: {
        tenant: 'default',
        job_id: jobId,
        type: 'agent',
        stream: true,
        params: {
          model: 'claude-sonnet-5-5',
          max_tokens: 1_000,
          messages: [{ role: 'user', content: 'Find out.' }],
          ...more.params,
        },
        ...(more.fork === undefined ? {} : { fork: more.fork }),
        ...(more.budget === undefined ? {} : { budget: more.budget }),
        reply: {
          kind: 'job',
          callback: { url: 'https://example.com/hook' },
          metadata: { run: 'spec' },
          created_at: createdAt,
        },
      },
    });
  }

  async cancel(jobId: string): Promise<void> {
    const reply = { kind: 'job', created_at: createdAt };
    await this.tell({
      topic: topics.workflowsRequested,
      type: 'millrace.workflow.cancel-requested.v1',
      id: `default:${jobId}:cancel-requested`,
      key: `default/${jobId}`,
      data: { tenant: 'default', job_id: jobId, type: 'agent', reply },
    });
  }

  /** What people and other systems tell a run. */
  async tellRun(jobId: string, kind: 'signalled' | 'budget-raised', data: object): Promise<void> {
    await this.tell({
      topic: topics.workflowsRequested,
      type: `millrace.workflow.${kind}.v1`,
      id: `default:${jobId}:${JSON.stringify(data)}`,
      key: `default/${jobId}`,
      data: { tenant: 'default', workflow_id: jobId, created_at: createdAt, ...data },
    });
  }

  /** A fake of claude-worker: answers by the script of a workflow; null: not at all. */
  async fakeWorker(scriptOf: (workflowId: string) => Script | null): Promise<void> {
    await this.#follow(topics.claudeRequested, async ({ headers, value }) => {
      const body = JSON.parse(value?.toString() ?? '');
      if (headers['ce_type'] !== 'millrace.claude.requested.v1') {
        this.cancelledCalls.add(body.call_id);
        return;
      }
      const request = claudeRequestedSchema.parse(body);
      const script = request.reply.kind === 'workflow' ? scriptOf(request.reply.workflow_id) : null;
      if (script !== null) await this.answer(request, script);
    });
  }

  async answer({ call_id, reply, tenant }: ClaudeRequested, { turns }: Script): Promise<void> {
    if (reply.kind !== 'workflow') return;
    const n = Number(/\/m(\d+)$/.exec(call_id)?.[1]);
    const uses = turns[n - 1] ?? [];
    const content =
      uses.length === 0
        ? [{ type: 'text', text: `done after ${n} turns` }]
        : uses.map((use, i) => ({ type: 'tool_use', id: `toolu_${n}_${i}`, ...use }));
    const usage = { input_tokens: 100, output_tokens: 10 };
    await this.tell({
      topic: topics.claudeCompleted,
      type: 'millrace.claude.completed.v1',
      id: `${tenant}:${call_id}:completed`,
      key: `${tenant}/${reply.workflow_id}`,
      data: {
        tenant,
        workflow_id: reply.workflow_id,
        created_at: reply.created_at,
        call_id,
        outcome: 'answered',
        model: 'claude-sonnet-5-5',
        message: {
          id: `msg_${n}`,
          type: 'message',
          role: 'assistant',
          model: 'claude-sonnet-5-5',
          content,
          stop_reason: uses.length === 0 ? 'end_turn' : 'tool_use',
          usage,
        },
        kept: true,
        usage,
        attempts: [],
        finished_at: new Date().toISOString(),
      },
    });
  }

  /**
   * A fake of tool-runner. `change` is a write, `ask` a tool that a worker serves, `held` and
   * `brief` are those of a worker that does not; `brief` waits for {@link briefSeconds} twice.
   */
  async fakeTools(): Promise<void> {
    await this.#follow(topics.toolsRun, async ({ headers, value }) => {
      const body: unknown = JSON.parse(value?.toString() ?? '');
      switch (headers['ce_type']) {
        case 'millrace.tool.describe-requested.v1':
          return this.#described(toolDescribeRequestedSchema.parse(body));
        case 'millrace.tool.run-requested.v1':
          return this.complete(toolRunRequestedSchema.parse(body));
        default:
      }
    });
    await this.#follow(topics.toolsRequested, async ({ value }) => {
      const call = toolRequestedSchema.parse(JSON.parse(value?.toString() ?? ''));
      if (['held', 'brief'].includes(call.tool)) this.held.push(call);
      else await this.complete(call);
    });
  }

  async complete(
    call: { workflow_id: string; call_id: string; token: string; tool: string; arguments: object },
    token = call.token,
  ): Promise<void> {
    const { call_id, workflow_id } = call;
    await this.tell({
      topic: topics.toolsCompleted,
      type: 'millrace.tool.completed.v1',
      id: `${call_id}:completed`,
      key: workflow_id,
      data: {
        workflow_id,
        call_id,
        token,
        output: { tool: call.tool, saw: call.arguments },
        attempts: 1,
      },
    });
  }

  async #described(
    request: { workflow_id: string; call_id: string; token: string; tools: readonly string[] },
  ): Promise<void> {
    const { call_id, token, workflow_id } = request;
    const tools = request.tools.map((name) => ({
      name,
      version: 1,
      description: `the tool ${name}`,
      input_schema: { type: 'object' },
      effect: name === 'change' ? 'write' : 'read',
      approval: name === 'change' ? 'always' : 'auto',
      via: ['ask', 'held', 'brief'].includes(name) ? 'worker' : 'runner',
      timeout_seconds: name === 'brief' ? briefSeconds : 60,
      retries: 1,
      result_bytes_max: 10_000,
    }));
    await this.tell({
      topic: topics.toolsCompleted,
      type: 'millrace.tool.described.v1',
      id: `${call_id}:described`,
      key: workflow_id,
      data: { workflow_id, call_id, token, tools, missing: [] },
    });
  }

  /** Reads a topic from its beginning on; nobody waits for what is done with its records. */
  async #follow(topic: Topic, handle: (message: ReadMessage) => Promise<void>): Promise<void> {
    const reader = await new KafkaReader(`${this.isolated.prefix}${topic.name}`).start();
    this.#readers.push(reader);
    const copies = new Map<string, number>();
    void (async () => {
      for (let next = 0; ; next += 1) {
        const messages = await reader.waitFor(next + 1);
        const message = messages[next];
        if (message === undefined) continue;
        const id = message.headers['ce_id'] ?? '';
        copies.set(id, (copies.get(id) ?? 0) + 1);
        if (copies.get(id)! > copiesAnsweredMax) continue;
        await handle(message).catch(() => undefined);
      }
    })();
  }

  /** The end of a job, and how often it was told. */
  async finished(jobId: string) {
    const isOf = ({ key }: ReadMessage) => key?.toString() === jobId;
    const messages = await this.results.waitFor((all) => all.some(isOf));
    const own = messages.filter(isOf);
    return {
      ids: new Set(own.map(({ headers }) => headers['ce_id'])),
      job: JSON.parse(own[0]?.value?.toString() ?? ''),
    };
  }
}
