import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  apiKeyListSchema,
  apiKeysPerTenantMax,
  parseSigningSecrets,
  tenantChangedSchema,
  tenantListSchema,
  tenantSecretsPlace,
  topics,
  type TenantChanged,
} from '@millrace/contracts';
import { StepsStrategy } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import { RuntimeModule, SecretBox, SilentLogger } from '@millrace/runtime';
import {
  KafkaReader,
  createTestDatabase,
  createTestTopics,
  type ReadMessage,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { ingestEnvironment } from './config.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';
import { TenantTopics } from './tenant-topics.ts';

jest.setTimeout(60_000);

const operator = `mra_${'o'.repeat(43)}`;
const givenSecret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const secretsKey = Buffer.alloc(32, 9).toString('base64url');
const defaultKey = 'mr_default-key-for-the-specs-of-ingest';
/** Named in the contract: another replica follows within this. */
const revocationMsMax = 10_000;

let database: TestDatabase;
let testTopics: TestTopics;
let admin: Pool;
let changes: KafkaReader;
let producer: Producer;
/** Two replicas. */
const apps: NestFastifyApplication[] = [];
const bases: string[] = [];

async function boot(): Promise<void> {
  const config = ingestEnvironment.parse({
    KAFKA_BROKERS: testTopics.brokers.join(','),
    HTTP_PORT: '1',
    DATABASE_URL: database.url('ingest'),
    API_DATABASE_URL: database.url('ingest_api'),
    MILLRACE_ADMIN_API_KEY: operator,
    MILLRACE_DEFAULT_API_KEY: defaultKey,
    MILLRACE_DEFAULT_WEBHOOK_SECRET: givenSecret,
    MILLRACE_SECRETS_KEY: secretsKey,
    MILLRACE_CLAUDE_STAND_IN: 'true',
  });
  class Root {}
  const runtime = RuntimeModule.forService(config, 'ingest', new SilentLogger());
  const ingest = IngestModule.forConfig(config, { topicPrefix: testTopics.prefix });
  const created = await NestFactory.create<NestFastifyApplication>(
    { module: Root, imports: [runtime, ingest] },
    new FastifyAdapter(httpOptions),
    { logger: false },
  );
  created.connectMicroservice({ strategy: created.get(StepsStrategy, { strict: false }) });
  apps.push(created);
  await created.startAllMicroservices();
  await created.listen(0, '127.0.0.1');
  const address = created.getHttpServer().address() as AddressInfo;
  bases.push(`http://127.0.0.1:${address.port}`);
}

beforeAll(async () => {
  [database, testTopics] = await Promise.all([createTestDatabase(), createTestTopics()]);
  changes = await new KafkaReader(testTopics.prefix + topics.tenantsChanged.name).start();
  await boot();
  await boot();
  const kafka = new Kafka({ brokers: [...testTopics.brokers], logLevel: logLevel.NOTHING });
  producer = kafka.producer();
  await producer.connect();
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
});

afterAll(async () => {
  await changes?.stop();
  await producer?.disconnect();
  for (const app of apps) {
    await app.get(StepsStrategy, { strict: false }).close();
    await app.close();
  }
  await admin?.end();
  await database?.drop();
  await testTopics?.drop();
});

/** What `JSON.parse` gives: a spec states what it expects to find in it. */
type Json = ReturnType<typeof JSON.parse>;

interface Answer {
  readonly status: number;
  readonly body: Json;
}

interface Request {
  readonly key: string;
  readonly body?: unknown;
  readonly replica?: number;
}

async function call(route: string, { key, body, replica = 0 }: Request): Promise<Answer> {
  const [method = 'GET', path = '/'] = route.split(' ');
  const response = await fetch(`${bases[replica]}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}

async function createTenant(id: string): Promise<Json> {
  const { status, body } = await call('POST /v1/tenants', { key: operator, body: { id } });
  expect([status, body]).toEqual([201, expect.objectContaining({ id })]);
  return body;
}

async function createKey(tenant: string, label = 'spec'): Promise<Json> {
  const request = { key: operator, body: { tenant, label } };
  const { status, body } = await call('POST /v1/api-keys', request);
  expect([status, body]).toEqual([201, expect.objectContaining({ tenant, label })]);
  return body;
}

/** A tenant and a key of it. */
async function tenantWithKey(id: string): Promise<string> {
  await createTenant(id);
  return (await createKey(id)).key;
}

async function statusWith(key: string, replica = 0): Promise<number> {
  return (await call('GET /v1/jobs', { key, replica })).status;
}

async function statusBecomes(wanted: number, key: string, replica: number): Promise<number> {
  const beganAtMs = performance.now();
  while ((await statusWith(key, replica)) !== wanted) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - beganAtMs;
}

/** What other services open of what was told, newest first. */
function secretsOf(told: TenantChanged | undefined): string[] {
  const sealed = Buffer.from(told?.sealed_secrets ?? '', 'base64');
  const json = new SecretBox([secretsKey]).open(sealed, tenantSecretsPlace(told?.tenant ?? ''));
  return parseSigningSecrets(json).map(({ secret }) => secret);
}

/** The states of a tenant that were told, oldest first, once there are so many of them. */
async function toldOf(tenant: string, count: number): Promise<TenantChanged[]> {
  const ofTenant = (all: readonly ReadMessage[]) =>
    all.filter(({ key }) => key?.toString() === tenant);
  const messages = await changes.waitFor((all) => ofTenant(all).length >= count);
  return ofTenant(messages).map(({ value }) =>
    tenantChangedSchema.parse(JSON.parse(String(value))),
  );
}

describe('a tenant', () => {
  it('is made, with a secret that is shown once, and told to the other services', async () => {
    const made = await createTenant('acme');
    expect(made.webhook_secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const { body } = await call('GET /v1/tenants/acme', { key: operator });
    expect(body).toEqual({
      id: 'acme',
      intake_topic: 't.acme.jobs.submitted.v1',
      created_at: expect.any(String),
      changed_at: made.changed_at,
      disabled_at: null,
    });
    const [told] = await toldOf('acme', 1);
    expect(secretsOf(told)).toEqual([made.webhook_secret]);
    expect(JSON.stringify(told)).not.toContain('whsec_');
    expect(told).toEqual({
      tenant: 'acme',
      sealed_secrets: expect.any(String),
      disabled: false,
      changed_at: made.changed_at,
    });
  });

  it('is made once, and not under a name that is reserved or none', async () => {
    await createTenant('once');
    const again = await call('POST /v1/tenants', { key: operator, body: { id: 'once' } });
    expect([again.status, again.body.code]).toEqual([409, 'already_exists']);
    for (const id of ['default', 'Acme', 'a.b', '']) {
      const answer = await call('POST /v1/tenants', { key: operator, body: { id } });
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    }
    const none = await call('GET /v1/tenants/nobody', { key: operator });
    expect([none.status, none.body.code]).toEqual([404, 'not_found']);
  });

  it('is one tenant, of many that ask for the same name at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        call('POST /v1/tenants', { key: operator, body: { id: 'raced' }, replica: i % 2 }),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 9 }, () => 409)]);
  });

  it('is listed with the others, page by page', async () => {
    for (const id of ['page-1', 'page-2', 'page-3']) await createTenant(id);
    const ids: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await call(`GET /v1/tenants?limit=2${query}`, { key: operator });
      const page = tenantListSchema.parse(body);
      ids.push(...page.data.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    expect(ids).toEqual(expect.arrayContaining(['page-1', 'page-2', 'page-3', 'default']));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('gets a new secret, and the ones before it sign for as long as was said', async () => {
    const { webhook_secret: first } = await createTenant('rotating');
    const rotate = (body?: unknown) =>
      call('POST /v1/tenants/rotating/rotate-webhook-secret', {
        key: operator,
        ...(body === undefined ? {} : { body }),
      });
    const { body: second } = await rotate();
    const { body: third } = await rotate({});
    const { body: fourth } = await rotate({ expire_previous_in_seconds: 0 });
    const { body: fifth } = await rotate({ expire_previous_in_seconds: 604_800 });
    const { body: sixth } = await rotate({ keep_previous: false });
    const told = await toldOf('rotating', 6);
    expect(told.map(secretsOf)).toEqual([
      [first],
      [second.webhook_secret, first],
      [third.webhook_secret, second.webhook_secret, first],
      [fourth.webhook_secret],
      [fifth.webhook_secret, fourth.webhook_secret],
      [sixth.webhook_secret],
    ]);
    const times = told.map(({ changed_at: at }) => Date.parse(at));
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  });

  it('that is disabled is not served, loses nothing, and goes on when it is enabled', async () => {
    const key = await tenantWithKey('paused');
    const job = { key, body: { job_id: 'before', prompt: 'a' } };
    expect((await call('POST /v1/jobs', job)).status).toBe(202);
    expect(await statusWith(key, 1)).toBe(200);

    const { status, body } = await call('DELETE /v1/tenants/paused', { key: operator });
    expect([status, body.disabled_at]).toEqual([200, expect.any(String)]);
    expect(await statusWith(key)).toBe(401);
    expect(await statusBecomes(401, key, 1)).toBeLessThan(revocationMsMax);
    const again = await call('DELETE /v1/tenants/paused', { key: operator });
    expect(again.body).toEqual(body);

    expect((await call('POST /v1/tenants/paused/enable', { key: operator })).status).toBe(200);
    expect((await call('GET /v1/jobs/before', { key })).body.id).toBe('before');
    const told = await toldOf('paused', 3);
    expect(told.map(({ disabled }) => disabled)).toEqual([false, true, false]);
  });

  it('`default` gets its secret from the deployment, and is not disabled', async () => {
    const { status, body } = await call('DELETE /v1/tenants/default', { key: operator });
    expect([status, body.code]).toEqual([403, 'forbidden']);
  });

  it('`default` may change its secret, and a start with the old one leaves it so', async () => {
    const rotate = 'POST /v1/tenants/default/rotate-webhook-secret';
    const { body } = await call(rotate, { key: operator });
    await boot();
    // Of two starts, of the rotation, and of the third start.
    const told = (await toldOf('default', 4)).at(-1);
    expect(secretsOf(told)).toEqual([body.webhook_secret, givenSecret]);
  });
});

describe('a key', () => {
  it('is shown once, works, and is listed by its last characters', async () => {
    await createTenant('keys');
    const made = await createKey('keys', 'billing');
    const secret = String(made.key);
    expect(secret).toMatch(/^mr_[A-Za-z0-9_-]{43}$/);
    expect(await statusWith(made.key)).toBe(200);
    const { body } = await call('GET /v1/api-keys', { key: made.key });
    expect(body).toEqual({
      data: [
        {
          id: made.id,
          tenant: 'keys',
          label: 'billing',
          last4: secret.slice(-4),
          created_at: made.created_at,
          last_used_at: expect.any(String),
          revoked_at: null,
        },
      ],
      next_cursor: null,
    });
  });

  it('that is revoked does not work any more: here at once, elsewhere soon', async () => {
    await createTenant('revoking');
    const { id, key } = await createKey('revoking');
    const other = await createKey('revoking');
    expect(await statusWith(key)).toBe(200);
    expect(await statusWith(key, 1)).toBe(200);
    const { body } = await call(`DELETE /v1/api-keys/${id}`, { key: other.key });
    expect(body.revoked_at).toEqual(expect.any(String));
    expect(await statusWith(key)).toBe(401);
    expect(await statusBecomes(401, key, 1)).toBeLessThan(revocationMsMax);
    const again = await call(`DELETE /v1/api-keys/${id}?tenant=revoking`, { key: operator });
    expect([again.status, again.body.revoked_at]).toEqual([200, body.revoked_at]);
    expect(await statusWith(other.key)).toBe(200);
  });

  it('makes further keys of its own tenant, and sees and revokes no other’s', async () => {
    const key = await tenantWithKey('mine');
    const theirs = await createKey((await createTenant('theirs')).id);
    const made = await call('POST /v1/api-keys', { key, body: { label: 'second' } });
    expect([made.status, made.body.tenant]).toEqual([201, 'mine']);
    expect(await statusWith(made.body.key)).toBe(200);

    const revoked = await call(`DELETE /v1/api-keys/${theirs.id}`, { key });
    expect([revoked.status, revoked.body.code]).toEqual([404, 'not_found']);
    for (const route of ['GET /v1/api-keys?tenant=theirs', `DELETE /v1/api-keys/x?tenant=theirs`]) {
      expect((await call(route, { key })).body.code).toBe('forbidden');
    }
    const foreign = { key, body: { label: 'no', tenant: 'theirs' } };
    expect((await call('POST /v1/api-keys', foreign)).body.code).toBe('forbidden');
    const { body } = await call('GET /v1/api-keys', { key });
    const { data } = apiKeyListSchema.parse(body);
    expect(data.map(({ tenant }) => tenant)).toEqual(['mine', 'mine']);
    expect(await statusWith(theirs.key)).toBe(200);
  });

  it('is one of so many at most, however many are asked for at once', async () => {
    await createTenant('many');
    await admin.query(
      `INSERT INTO ingest.api_keys (key_hash, tenant, label)
       SELECT sha256(n::text::bytea), 'many', 'spec' FROM generate_series(3, $1) AS n`,
      [apiKeysPerTenantMax],
    );
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        call('POST /v1/api-keys', {
          key: operator,
          body: { tenant: 'many', label: 'one more' },
          replica: i % 2,
        }),
      ),
    );
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(2);
    const refused = answers.filter(({ status }) => status !== 201);
    expect(new Set(refused.map(({ body }) => body.code))).toEqual(new Set(['limit_reached']));
    // A revoked one makes room.
    const path = `/v1/api-keys/${made[0]?.body.id}?tenant=many`;
    expect((await call(`DELETE ${path}`, { key: operator })).status).toBe(200);
    await createKey('many');
  });

  it('is made for a tenant that exists, and by the operator for one that is named', async () => {
    const unknown = { key: operator, body: { label: 'x', tenant: 'nobody' } };
    expect((await call('POST /v1/api-keys', unknown)).body.code).toBe('not_found');
    const unnamed = await call('GET /v1/api-keys', { key: operator });
    expect([unnamed.status, unnamed.body.errors[0].path]).toEqual([400, 'tenant']);
  });
});

describe('the topic of a tenant', () => {
  const submit = (tenant: string, value: string, key: string | null = null) =>
    producer.send({
      topic: `${testTopics.prefix}t.${tenant}.jobs.submitted.v1`,
      messages: [{ key, value }],
    });
  const found = async (key: string, id: string): Promise<Answer> => {
    for (;;) {
      const answer = await call(`GET /v1/jobs/${id}`, { key });
      if (answer.status !== 404) return answer;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  it('is there with the tenant and taken in from, by whatever replica', async () => {
    const key = await tenantWithKey('topical');
    await submit('topical', '{"job_id": "by-topic", "prompt": "a"}');
    expect((await found(key, 'by-topic')).body).toMatchObject({ id: 'by-topic', type: 'message' });
    const other = await call('GET /v1/jobs/by-topic', { key: defaultKey });
    expect(other.status).toBe(404);
  });

  it('says whose a record is, whatever the record says', async () => {
    const key = await tenantWithKey('named');
    await producer.send({
      topic: `${testTopics.prefix}t.named.jobs.submitted.v1`,
      messages: [
        {
          value: '{"job_id": "claims", "prompt": "a", "submitted_at": "2026-01-01T00:00:00Z"}',
          headers: { ce_tenant: 'default', 'x-tenant': 'default' },
        },
      ],
    });
    expect((await found(key, 'claims')).status).toBe(200);
    expect((await call('GET /v1/jobs/claims', { key: defaultKey })).status).toBe(404);
  });

  it('has dead letters of its own, which its tenant alone finds', async () => {
    const key = await tenantWithKey('letters');
    const other = await tenantWithKey('letters-2');
    await submit('letters', 'no JSON', 'k');
    const letters = async (of: string): Promise<Json[]> =>
      (await call('GET /v1/dead-letters', { key: of })).body.data;
    while ((await letters(key)).length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await letters(key)).toEqual([
      expect.objectContaining({ topic: 't.letters.jobs.submitted.v1', code: 'malformed_json' }),
    ]);
    expect(await letters(other)).toEqual([]);
    const [{ id }] = await letters(key);
    expect((await call(`GET /v1/dead-letters/${id}`, { key })).status).toBe(200);
    expect((await call(`GET /v1/dead-letters/${id}`, { key: other })).status).toBe(404);
  });

  it('waits while its tenant is disabled, and goes on where it stood', async () => {
    const key = await tenantWithKey('waiting');
    await submit('waiting', '{"job_id": "first", "prompt": "a"}');
    await found(key, 'first');
    await call('DELETE /v1/tenants/waiting', { key: operator });
    await everyReplicaFollows();
    await submit('waiting', '{"job_id": "second", "prompt": "a"}');
    // What another tenant hands over later is taken in: it is not the intake that waits.
    const busy = await tenantWithKey('busy');
    await submit('busy', '{"job_id": "meanwhile", "prompt": "a"}');
    await found(busy, 'meanwhile');
    const { rowCount } = await admin.query(
      `SELECT FROM ingest.jobs WHERE tenant = 'waiting' AND id = 'second'`,
    );
    expect(rowCount).toBe(0);
    await call('POST /v1/tenants/waiting/enable', { key: operator });
    expect((await found(key, 'second')).status).toBe(200);
    const { body } = await call('GET /v1/jobs', { key });
    expect(body.data).toHaveLength(2);
  });

  it('makes another job of the same record than another tenant’s', async () => {
    const keys = [await tenantWithKey('twin-1'), await tenantWithKey('twin-2')];
    const record = '{"prompt": "without an id"}';
    await Promise.all(['twin-1', 'twin-2'].map((tenant) => submit(tenant, record, 'same')));
    const ids = await Promise.all(
      keys.map(async (key) => {
        for (;;) {
          const { body } = await call('GET /v1/jobs', { key });
          if (body.data.length > 0) return String(body.data[0].id);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }),
    );
    expect(new Set(ids).size).toBe(2);
  });
});

/** Each replica has looked at the tenants since, and followed what it saw. */
async function everyReplicaFollows(): Promise<void> {
  await Promise.all(apps.map((app) => app.get(TenantTopics, { strict: false }).changed()));
}

describe('whose key does what', () => {
  it.each([
    'POST /v1/tenants',
    'GET /v1/tenants',
    'GET /v1/tenants/default',
    'DELETE /v1/tenants/default',
    'POST /v1/tenants/default/enable',
    'POST /v1/tenants/default/rotate-webhook-secret',
  ])('a tenant’s key gets 403 for %s', async (route) => {
    const { status, body } = await call(route, { key: defaultKey });
    expect([status, body.code]).toEqual([403, 'forbidden']);
  });

  it.each(['GET /v1/jobs', 'GET /v1/jobs/x', 'POST /v1/jobs/x/cancel'])(
    'the operator’s gets 403 for %s: it has no jobs',
    async (route) => {
      const { status, body } = await call(route, { key: operator });
      expect([status, body.code]).toEqual([403, 'forbidden']);
    },
  );

  it('another `mra_…` is nobody’s', async () => {
    expect(await statusWith(`mra_${'x'.repeat(43)}`)).toBe(401);
  });
});
