import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  endpointsPerTenantMax,
  liveSecretsMax,
  parseSigningSecrets,
  webhookEndpointViewSchema,
  webhookEndpointWithSecretSchema,
  type WebhookEndpointView,
} from '@millrace/contracts';
import { SecretBox } from '@millrace/runtime';

import { endpointHeadersPlace, endpointSecretsPlace } from './core/sealed-places.ts';
import { RunningManagement, secretsKey } from './running-management.fixture.ts';

jest.setTimeout(60_000);

const url = 'https://example.com/hook';
const secret = `whsec_${Buffer.alloc(24, 3).toString('base64')}`;

let management: RunningManagement;

beforeAll(async () => {
  management = await RunningManagement.start();
});
afterAll(async () => {
  await management?.stop();
});

async function get(id: string): Promise<WebhookEndpointView> {
  const answer = await management.ask('GET', `/webhook-endpoints/${id}`);
  return webhookEndpointViewSchema.parse(answer.json());
}

async function lane(id: string): Promise<Record<string, unknown> | undefined> {
  const { rows } = await management.admin.query(
    `SELECT closed_until::text, closed_why, failures, failing_since
     FROM dispatcher.lanes WHERE origin = $1`,
    [id],
  );
  return rows[0];
}

describe('an endpoint', () => {
  it('is there as it was made, with its secret shown once', async () => {
    const body = { url, event_types: ['millrace.job.failed.v1'], headers: { 'X-Door': 'sesame' } };
    const answer = await management.ask('POST', '/webhook-endpoints', { body });
    expect(answer.statusCode).toBe(201);
    const made = webhookEndpointWithSecretSchema.parse(answer.json());
    expect(made.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const { secret: _shownOnce, ...view } = answer.json<Record<string, unknown>>();
    const got = await management.ask('GET', `/webhook-endpoints/${made.id}`);
    expect(got.json()).toEqual(view);
    expect(got.json()).toMatchObject({
      url,
      event_types: ['millrace.job.failed.v1'],
      payload: 'full',
      headers: { 'X-Door': '[redacted]' },
      rate_per_second: null,
      in_flight_max: 10,
      timeout_seconds: 15,
      retry_schedule_seconds: null,
      status: 'enabled',
      version: 1,
    });
  });

  it('keeps what is secret sealed in its row', async () => {
    const id = await management.endpoint({ secret, headers: { 'X-Door': 'sesame' } });
    const { rows } = await management.admin.query<{ secrets: Buffer; headers: Buffer }>(
      'SELECT secrets, headers FROM dispatcher.endpoints WHERE id = $1',
      [id],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('there is no such row');
    expect(row.secrets.includes(secret)).toBe(false);
    expect(row.headers.includes('sesame')).toBe(false);
    const box = new SecretBox([secretsKey]);
    const [kept] = parseSigningSecrets(
      box.open(row.secrets, endpointSecretsPlace('default', id)),
    );
    expect(kept?.secret).toBe(secret);
    expect(box.open(row.headers, endpointHeadersPlace('default', id))).toContain('sesame');
    expect(() => box.open(row.secrets, endpointSecretsPlace('acme', id))).toThrow();
  });

  it('changes by what is named, under the version that was seen', async () => {
    const id = await management.endpoint({ headers: { 'X-Door': 'sesame' } });
    const change = { body: { timeout_seconds: 3, rate_per_second: 0.1, version: 1 } };
    const path = `/webhook-endpoints/${id}`;
    const changed = await management.ask('PATCH', path, change);
    expect(changed.json()).toMatchObject({
      url,
      headers: { 'X-Door': '[redacted]' },
      timeout_seconds: 3,
      rate_per_second: 0.1,
      version: 2,
    });
    const again = await management.ask('PATCH', path, change);
    expect([again.statusCode, again.json()]).toEqual([
      409,
      expect.objectContaining({ code: 'changed_meanwhile' }),
    ]);
  });

  it('takes every one of many changes at once', async () => {
    const id = await management.endpoint();
    const names = ['A', 'B', 'C', 'D'];
    await Promise.all(
      names.map((name) =>
        management.ask('PATCH', `/webhook-endpoints/${id}`, {
          body: { headers: { [`X-${name}`]: 'v' } },
        }),
      ),
    );
    const { headers, version } = await get(id);
    expect(Object.keys(headers).toSorted()).toEqual(names.map((name) => `X-${name}`));
    expect(version).toBe(1 + names.length);
  });

  it('belongs to its tenant alone', async () => {
    const id = await management.endpoint({}, 'acme');
    const path = `/webhook-endpoints/${id}`;
    for (const answer of await Promise.all([
      management.ask('GET', path),
      management.ask('PATCH', path, { body: { timeout_seconds: 3 } }),
      management.ask('DELETE', path),
      management.ask('POST', `${path}/pause`),
      management.ask('POST', `${path}/test`),
      management.ask('POST', `${path}/rotate-secret`),
    ])) {
      expect([answer.statusCode, answer.json()]).toEqual([
        404,
        expect.objectContaining({ code: 'not_found' }),
      ]);
    }
    const list = await management.ask('GET', '/webhook-endpoints', { tenant: 'acme' });
    expect(list.json()).toMatchObject({ data: [{ id, version: 1 }], next_cursor: null });
  });

  it('is gone when it was deleted, and deleted once', async () => {
    const id = await management.endpoint();
    const remove = () => management.ask('DELETE', `/webhook-endpoints/${id}`);
    expect([(await remove()).statusCode, (await remove()).statusCode]).toEqual([204, 404]);
    expect((await management.ask('GET', `/webhook-endpoints/${id}`)).statusCode).toBe(404);
  });

  it('is listed newest first, a page at a time', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 3; i += 1) ids.unshift(await management.endpoint({}, 'pages'));
    const first = await management.ask('GET', '/webhook-endpoints?limit=2', { tenant: 'pages' });
    const { data, next_cursor } = first.json<{ data: { id: string }[]; next_cursor: string }>();
    expect(data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    const rest = `/webhook-endpoints?limit=2&cursor=${next_cursor}`;
    const second = await management.ask('GET', rest, { tenant: 'pages' });
    expect(second.json()).toMatchObject({ data: [{ id: ids[2] }], next_cursor: null });
  });

  it('is one of as many as a tenant may have, however many come at once', async () => {
    const make = () =>
      management.ask('POST', '/webhook-endpoints', { body: { url }, tenant: 'full' });
    const answers = await Promise.all(
      Array.from({ length: endpointsPerTenantMax + 5 }, () => make()),
    );
    const refused = answers.filter(({ statusCode }) => statusCode === 409);
    expect(refused).toHaveLength(5);
    expect(refused[0]?.json()).toMatchObject({ code: 'limit_reached' });
  });

  it('is shown to nobody without the key', async () => {
    const answer = await management.ask('GET', '/webhook-endpoints', { key: 'another' });
    expect([answer.statusCode, answer.json().code]).toEqual([401, 'unauthorized']);
  });
});

describe('what is refused', () => {
  it.each([
    ['an unknown field', { url, more: 1 }, 400, 'invalid_request', ''],
    ['an unknown type', { url, event_types: ['x'] }, 400, 'invalid_request', 'event_types.0'],
    ['a long wait', { url, timeout_seconds: 31 }, 400, 'invalid_request', 'timeout_seconds'],
    ['too many at once', { url, in_flight_max: 51 }, 400, 'invalid_request', 'in_flight_max'],
    [
      'a schedule of eight days',
      { url, retry_schedule_seconds: [0, 8 * 86_400] },
      400,
      'invalid_request',
      'retry_schedule_seconds',
    ],
    ['a secret that is none', { url, secret: 'whsec_short' }, 400, 'invalid_request', 'secret'],
    [
      'a header of ours',
      { url, headers: { 'Webhook-Signature': 'x' } },
      400,
      'invalid_request',
      'headers.Webhook-Signature',
    ],
    ['plain http', { url: 'http://example.com/' }, 422, 'unsafe_callback_url', 'url'],
    ['a private address', { url: 'https://10.0.0.1/' }, 422, 'unsafe_callback_url', 'url'],
    ['a folded address', { url: 'https://0x7f000001/' }, 422, 'unsafe_callback_url', 'url'],
    ['a URL with a user', { url: 'https://a:b@example.com/' }, 422, 'unsafe_callback_url', 'url'],
  ])('%s', async (_what, body, status, code, path) => {
    const answer = await management.ask('POST', '/webhook-endpoints', { body });
    expect(answer.statusCode).toBe(status);
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.json()).toMatchObject({
      code,
      errors: expect.arrayContaining([{ path, message: expect.any(String) }]),
    });
  });
});

describe('a rotation', () => {
  it('gives a new secret, and lets the one before live for as long as was said', async () => {
    const id = await management.endpoint({ secret });
    const path = `/webhook-endpoints/${id}/rotate-secret`;
    const answer = await management.ask('POST', path, { body: {} });
    expect(answer.statusCode).toBe(200);
    const rotated = webhookEndpointWithSecretSchema.parse(answer.json());
    expect(rotated.secret).not.toBe(secret);
    const [newest, previous] = rotated.secrets;
    expect(newest?.expires_at).toBeNull();
    const livesMs = Date.parse(previous?.expires_at ?? '') - Date.now();
    expect(Math.abs(livesMs - 86_400_000)).toBeLessThan(60_000);
    const now = await management.ask('POST', path, { body: { expire_previous_in_seconds: 0 } });
    expect(now.json<WebhookEndpointView>().secrets).toHaveLength(1);
  });

  it('takes a secret that the receiver has, but none twice', async () => {
    const id = await management.endpoint();
    const path = `/webhook-endpoints/${id}/rotate-secret`;
    const first = await management.ask('POST', path, { body: { secret } });
    expect(first.json()).toMatchObject({ secret });
    const second = await management.ask('POST', path, { body: { secret } });
    expect([second.statusCode, second.json().errors?.[0]?.path]).toEqual([400, 'secret']);
  });

  it('never makes more secrets live than a header should hold', async () => {
    const id = await management.endpoint();
    const rotate = (body: object = {}) =>
      management.ask('POST', `/webhook-endpoints/${id}/rotate-secret`, { body });
    for (let live = 1; live < liveSecretsMax; live += 1) {
      expect((await rotate()).statusCode).toBe(200);
    }
    const full = await rotate();
    expect([full.statusCode, full.json().code]).toEqual([409, 'limit_reached']);
    const ended = await rotate({ expire_previous_in_seconds: 0 });
    expect(ended.json<WebhookEndpointView>().secrets).toHaveLength(1);
  });
});

describe('a pause', () => {
  it('closes the lane, and a resumption opens it and wakes who sends', async () => {
    const id = await management.endpoint();
    const path = `/webhook-endpoints/${id}`;
    for (let twice = 0; twice < 2; twice += 1) {
      const paused = await management.ask('POST', `${path}/pause`);
      expect(paused.json()).toMatchObject({ status: 'paused', version: 2 });
    }
    expect(await lane(id)).toMatchObject({ closed_until: 'infinity', closed_why: 'paused' });
    expect((await get(id)).health).toMatchObject({ closed_until: null, closed_why: null });
    const before = management.woken;
    const resumed = await management.ask('POST', `${path}/resume`);
    expect(resumed.json()).toMatchObject({ status: 'enabled', version: 3 });
    expect(await lane(id)).toMatchObject({ closed_until: null, closed_why: null });
    expect(management.woken).toBeGreaterThan(before);
  });
});

describe('a disabled endpoint', () => {
  async function disabled(): Promise<string> {
    const id = await management.endpoint();
    await management.admin.query(
      `UPDATE dispatcher.endpoints SET status = 'disabled', disabled_reason = 'failing',
         version = version + 1 WHERE id = $1`,
      [id],
    );
    await management.admin.query(
      `INSERT INTO dispatcher.lanes (tenant, origin, closed_until, closed_why, failing_since,
         failures) VALUES ('default', $1, 'infinity', 'disabled', now(), 12)`,
      [id],
    );
    return id;
  }

  it.each(['pause', 'resume', 'test'])('refuses %s', async (action) => {
    const id = await disabled();
    const answer = await management.ask('POST', `/webhook-endpoints/${id}/${action}`);
    expect([answer.statusCode, answer.json().code]).toEqual([409, 'not_enabled']);
  });

  it('is enabled with its failures forgiven', async () => {
    const id = await disabled();
    expect(await get(id)).toMatchObject({
      status: 'disabled',
      disabled_reason: 'failing',
      health: { failures: 12 },
    });
    const enabled = await management.ask('POST', `/webhook-endpoints/${id}/enable`);
    expect(enabled.json()).toMatchObject({
      status: 'enabled',
      disabled_reason: null,
      health: { failures: 0, failing_since: null },
    });
    expect(await lane(id)).toMatchObject({ closed_why: null, failures: 0, failing_since: null });
  });
});

describe('a test', () => {
  it('is a delivery like any other, and says which', async () => {
    const id = await management.endpoint();
    const traceparent = `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`;
    const answer = await management.ask('POST', `/webhook-endpoints/${id}/test`, {
      headers: { traceparent },
    });
    expect(answer.statusCode).toBe(202);
    const told = answer.json<{ delivery_id: string; webhook_id: string }>();
    expect(told.delivery_id).toBe(`${told.webhook_id}.${id}`);
    const delivery = await management.ask('GET', `/deliveries/${told.delivery_id}`);
    expect(delivery.json()).toMatchObject({
      webhook_id: told.webhook_id,
      endpoint: id,
      event_type: 'millrace.endpoint.ping.v1',
      job_id: null,
      status: 'waiting',
      attempts: 0,
    });
    const { rows } = await management.admin.query<{ body: Buffer; traceparent: string }>(
      'SELECT body, traceparent FROM dispatcher.deliveries WHERE id = $1',
      [told.delivery_id],
    );
    expect(JSON.parse(String(rows[0]?.body))).toEqual({
      type: 'millrace.endpoint.ping.v1',
      timestamp: expect.any(String),
      data: { endpoint_id: id },
    });
    expect(rows[0]?.traceparent).toContain('a1'.repeat(16));
  });
});
