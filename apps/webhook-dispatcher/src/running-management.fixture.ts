import { httpHeaders, IdentityPayloadCodec, PayloadCodec } from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import { parseConfig, RuntimeModule, SilentLogger } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { WorkQueue } from '@millrace/work';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';

import { configSchema } from './config.ts';
import { managementControllers, managementProviders } from './management.ts';

const internalKey = Buffer.alloc(32, 5).toString('base64url');
export const secretsKey = Buffer.alloc(32, 9).toString('base64url');

export interface AskOptions {
  readonly body?: unknown;
  readonly tenant?: string;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A delivery as a spec puts it into the table; what it does not say is made up. */
export interface GivenDelivery {
  readonly id: string;
  readonly tenant?: string;
  readonly state?: string;
  readonly endpoint?: string;
  readonly jobId?: string;
  readonly createdAt?: Date;
  readonly code?: string;
}

/** The management routes beside a Postgres of their own, and nobody who sends. */
export class RunningManagement {
  /** How often the queue was told that something waits. */
  woken = 0;

  private constructor(
    readonly database: TestDatabase,
    readonly admin: Pool,
    private app: NestFastifyApplication | null,
  ) {}

  static async start(): Promise<RunningManagement> {
    const database = await createTestDatabase();
    const admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
    const running = new RunningManagement(database, admin, null);
    const config = parseConfig(configSchema, {
      KAFKA_BROKERS: '127.0.0.1:1',
      DATABASE_URL: database.url('webhook_dispatcher'),
      API_DATABASE_URL: database.url('webhook_dispatcher_api'),
      HTTP_PORT: '1',
      MILLRACE_INTERNAL_KEY: internalKey,
      MILLRACE_SECRETS_KEY: secretsKey,
    });
    const queue = { wake: () => void (running.woken += 1) };
    const module = await Test.createTestingModule({
      imports: [RuntimeModule.forService(config, 'webhook-dispatcher', new SilentLogger())],
      controllers: managementControllers,
      providers: [
        ...managementProviders(config),
        { provide: WorkQueue, useValue: queue },
        { provide: PayloadCodec, useClass: IdentityPayloadCodec },
      ],
    }).compile();
    running.app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
      logger: false,
    });
    await running.app.init();
    return running;
  }

  /** A request below `/internal/tenants/<tenant>`. */
  ask(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, options: AskOptions = {}) {
    const { body, headers, key = internalKey, tenant = 'default' } = options;
    if (this.app === null) throw new Error('not running');
    return this.app.inject({
      method,
      url: `/internal/tenants/${tenant}${path}`,
      headers: { [httpHeaders.internalKey]: key, ...headers },
      ...(body === undefined ? {} : { payload: Object(body) }),
    });
  }

  /** Makes an endpoint and says its id. */
  async endpoint(fields: object = {}, tenant = 'default'): Promise<string> {
    const body = { url: 'https://example.com/hook', ...fields };
    const answer = await this.ask('POST', '/webhook-endpoints', { body, tenant });
    if (answer.statusCode !== 201) throw new Error(answer.body);
    return answer.json<{ id: string }>().id;
  }

  async insert(given: GivenDelivery): Promise<void> {
    const { state = 'dead', tenant = 'default', createdAt = new Date() } = given;
    const origin = given.endpoint ?? 'https://example.com';
    const endedAt = state === 'waiting' ? null : createdAt;
    await this.admin.query(
      `INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, state,
         attempts, not_before, created_at, ended_at, code, endpoint, event_type)
       VALUES ($1, ($2::timestamptz AT TIME ZONE 'UTC')::date, $3, $4, 'https://example.com/hook',
         $5, '{}', $6, 3, $2, $2, $7, $8, $9, 'millrace.job.succeeded.v1')`,
      [
        given.id,
        createdAt,
        tenant,
        given.jobId ?? null,
        origin,
        state,
        endedAt,
        given.code ?? null,
        given.endpoint ?? null,
      ],
    );
  }

  async stop(): Promise<void> {
    await this.app?.close();
    await this.admin.end();
    await this.database.drop();
  }
}
