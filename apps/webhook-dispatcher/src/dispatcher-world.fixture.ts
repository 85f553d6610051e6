import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';

import { IdentityPayloadCodec, tenantChangedSchema } from '@millrace/contracts';
import { EgressClient, type EgressProxy } from '@millrace/egress';
import type { RawRecord } from '@millrace/kafka';
import type { Pool } from '@millrace/postgres';
import { Metrics, SecretBox, SilentLogger } from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { ulid } from 'ulid';

import { PostgresDeliveries } from './adapters/postgres-deliveries.ts';
import { PostgresEndpoints } from './adapters/postgres-endpoints.ts';
import { PostgresTenants } from './adapters/postgres-tenants.ts';
import { AttemptTelemetry } from './attempt-telemetry.ts';
import { LaneBook } from './core/lane-book.ts';
import { LaneSlots } from './core/lane-slots.ts';
import { DeliveryIntake } from './delivery-intake.ts';
import { DeliveryPolicy, type DeliveryQueue } from './delivery-policy.ts';
import { EndpointKeeper } from './endpoint-keeper.ts';
import { FinishedJobsConsumer } from './finished-jobs.consumer.ts';
import { LaneTurns } from './lane-turns.ts';
import { Receivers } from './receivers.ts';
import { DispatcherSettings } from './settings.ts';
import { WebhookNoticesConsumer } from './webhook-notices.consumer.ts';

export const secret = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';

/** Tells torn bytes, as one that decrypts does. */
class CheckingCodec extends IdentityPayloadCodec {
  override decode(body: Buffer): Buffer {
    if (body.toString() === 'torn') throw new TypeError('these bytes are not whole');
    return body;
  }
}

export const codec = new CheckingCodec();

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

/** A receiver whose answer to each path is set by the spec. */
export class Receiver {
  readonly received: Received[] = [];
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const path = request.url ?? '';
      this.received.push({ path, headers: request.headers, body, atMs: Date.now() });
      this.answer(path, this.at(path).length, response);
    });
  });
  answer: (path: string, count: number, response: ServerResponse) => void = (_, __, response) =>
    void response.end('ok');

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  url(path: string): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `http://127.0.0.1:${address.port}${path}`;
  }

  at(path: string): Received[] {
    return this.received.filter((request) => request.path === path);
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

export interface DispatcherOptions {
  readonly scheduleMs?: readonly number[];
  readonly totalTimeoutMs?: number;
  readonly slotsMax?: number;
  readonly leaseMs?: number;
  readonly allowedCidrs?: readonly string[];
  readonly proxy?: EgressProxy;
  readonly unheldAgeMs?: number;
}

/** One dispatcher process, without Nest and Kafka: records are handed to its step by the spec. */
export class Dispatcher {
  readonly deliveries: PostgresDeliveries;
  readonly tenants: PostgresTenants;
  readonly consumer: FinishedJobsConsumer;
  readonly notices: WebhookNoticesConsumer;
  readonly queue: DeliveryQueue;
  private readonly courier: EgressClient;

  constructor(pool: Pool, options: DispatcherOptions = {}) {
    const slotsMax = options.slotsMax ?? 100;
    const slots = new LaneSlots({ slotsMax });
    const book = new LaneBook();
    const endpoints = new PostgresEndpoints(pool, new SecretBox());
    const log = new SilentLogger();
    this.deliveries = new PostgresDeliveries(pool, codec);
    this.tenants = new PostgresTenants(pool, new SecretBox());
    this.courier = new EgressClient(
      { allowedCidrs: options.allowedCidrs ?? ['127.0.0.0/8'] },
      {
        totalTimeoutMs: options.totalTimeoutMs ?? 2_000,
        ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
      },
    );
    const policy = new DeliveryPolicy({
      deliveries: this.deliveries,
      receivers: new Receivers(this.tenants, endpoints),
      courier: this.courier,
      slots,
      book,
      turns: new LaneTurns(slots, book),
      keeper: new EndpointKeeper(endpoints, codec, log),
      codec,
      retry: { scheduleMs: options.scheduleMs ?? [0, 20, 20], overloadRetryMsMin: 20 },
      telemetry: new AttemptTelemetry(log, new Metrics()),
      onRoom: () => this.queue.wake(),
    });
    this.queue = new WorkQueue({
      name: 'deliveries',
      schema: 'dispatcher',
      pool,
      policy,
      slotsMax,
      leaseMs: options.leaseMs ?? 10_000,
      ...(options.unheldAgeMs === undefined ? {} : { unheldAgeMs: options.unheldAgeMs }),
      log,
    });
    const settings = new DispatcherSettings({ publicUrl: 'http://127.0.0.1:8080' });
    const intake = new DeliveryIntake(this.deliveries, this.queue, slots, book);
    this.consumer = new FinishedJobsConsumer(
      this.deliveries,
      endpoints,
      intake,
      this.queue,
      settings,
    );
    this.notices = new WebhookNoticesConsumer(endpoints, intake);
  }

  async stop(deadlineMs = 3_000): Promise<void> {
    await this.queue.stop({ deadlineMs });
    await this.deliveries.close();
    await this.courier.close();
  }
}

export interface EndpointFacts {
  readonly url: string;
  readonly tenant?: string;
  readonly eventTypes?: readonly string[];
  readonly payload?: 'full' | 'thin';
  readonly headers?: Readonly<Record<string, string>>;
  readonly ratePerSecond?: number;
  readonly inFlightMax?: number;
  readonly timeoutMs?: number;
  readonly scheduleMs?: readonly number[];
  readonly secrets?: readonly { readonly secret: string; readonly expiresAt: string | null }[];
}

/** Registers an endpoint as the API does. @returns its id. */
export async function addEndpoint(pool: Pool, facts: EndpointFacts): Promise<string> {
  const id = `ep_${ulid()}`;
  const { headers, secrets = [{ secret, expiresAt: null }] } = facts;
  const kept = secrets.map((each) => ({
    secret: each.secret,
    created_at: new Date().toISOString(),
    expires_at: each.expiresAt,
  }));
  await pool.query(
    `INSERT INTO dispatcher.endpoints (tenant, id, url, event_types, payload, headers,
       rate_per_second, in_flight_max, timeout_ms, schedule_ms, secrets)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      facts.tenant ?? 'default',
      id,
      facts.url,
      facts.eventTypes ?? [],
      facts.payload ?? 'full',
      headers === undefined ? null : Buffer.from(JSON.stringify(headers)),
      facts.ratePerSecond ?? null,
      facts.inFlightMax ?? 10,
      facts.timeoutMs ?? 15_000,
      facts.scheduleMs ?? null,
      Buffer.from(JSON.stringify(kept)),
    ],
  );
  return id;
}

export function putSecret(dispatcher: Dispatcher, tenant: string) {
  const changed = { tenant, webhook_secrets: [secret], changed_at: new Date().toISOString() };
  return dispatcher.tenants.put([tenantChangedSchema.parse(changed)]);
}

let offset = 0;

export function record(jobId: string, url: string | undefined, changes: object = {}): RawRecord {
  const job = {
    tenant: 'default',
    job_id: jobId,
    type: 'message',
    status: 'succeeded',
    result: `result of ${jobId}`,
    attempts: [],
    ...(url === undefined ? {} : { callback: { url } }),
    created_at: '2026-11-23T10:00:00.000Z',
    finished_at: '2026-11-23T10:00:01.000Z',
    ...changes,
  };
  return {
    topic: 'jobs.finished.v1',
    partition: 0,
    offset: String(offset++),
    key: Buffer.from(jobId),
    value: Buffer.from(JSON.stringify(job)),
    headers: {
      ce_id: `${job.tenant}:${jobId}:finished`,
      ce_type: `millrace.job.${job.status}.v1`,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    },
    timestampMs: Date.now(),
    clusterId: 'cluster',
    context: ROOT_CONTEXT,
  };
}

/** Looks until it is so. */
export async function until<T>(look: () => Promise<T> | T, done: (seen: T) => boolean): Promise<T> {
  const giveUpAtMs = Date.now() + 15_000;
  for (;;) {
    const seen = await look();
    if (done(seen)) return seen;
    if (Date.now() > giveUpAtMs) throw new Error(`still ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
