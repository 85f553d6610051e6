import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';

import { WebhookReceiver, type ReceivedWebhook } from './receivers/webhook-receiver.ts';
import { stack, uniqueId, until } from './running-stack.ts';

const waitMs = 60_000;
const path = '/endpoint';

/** What `JSON.parse` gives: a story states what it expects to find in it. */
type Json = ReturnType<typeof JSON.parse>;

let receiver: WebhookReceiver;
/** Of a tenant of this story's own: its endpoints hear of no other story's jobs. */
let key: string;

beforeAll(async () => {
  receiver = await WebhookReceiver.listen();
  const id = `endpoints-${crypto.randomUUID().slice(0, 8)}`;
  await post('/v1/tenants', stack.adminKey, { id });
  key = (await post('/v1/api-keys', stack.adminKey, { tenant: id, label: 'story' })).key;
});
afterAll(() => receiver.close());

async function post(route: string, by: string, body: object): Promise<Json> {
  const response = await fetch(`${stack.url}${route}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${by}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${route}: ${text}`);
  return JSON.parse(text);
}

/** The command line, as a person of the tenant types it. */
async function millrace(...words: string[]): Promise<Json> {
  const program = join(import.meta.dirname, '../apps/cli/bin/millrace.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words, '--json'], {
    env: { MILLRACE_URL: stack.url, MILLRACE_HOME: stack.home, MILLRACE_API_KEY: key },
  });
  return JSON.parse(stdout);
}

async function submit(): Promise<string> {
  const id = uniqueId('told');
  await post('/v1/jobs', key, { job_id: id, prompt: 'hello' });
  return id;
}

/** The webhooks that tell of a job. */
function toldOf(job: string): ReceivedWebhook[] {
  return receiver.at(path).filter(({ body }) => JSON.parse(body).data.job_id === job);
}

function told(job: string, times = 1): Promise<ReceivedWebhook> {
  return until(`webhook ${times} of ${job}`, waitMs, () => toldOf(job)[times - 1]);
}

function deliveryBecomes(job: string, status: string): Promise<Json> {
  return until(`the delivery of ${job} is ${status}`, waitMs, async () => {
    const page: { data: Json[] } = await millrace('deliveries', 'list', '--job', job);
    return page.data.find((delivery) => delivery.status === status);
  });
}

/** By the libraries that receivers use. */
function expectSigned({ body, headers }: ReceivedWebhook, secret: string): void {
  const given = {
    'webhook-id': String(headers['webhook-id']),
    'webhook-timestamp': String(headers['webhook-timestamp']),
    'webhook-signature': String(headers['webhook-signature']),
  };
  expect(new StandardWebhook(secret).verify(body, given)).toEqual(JSON.parse(body));
  expect(new SvixWebhook(secret).verify(body, given)).toEqual(JSON.parse(body));
}

describe('a registered endpoint', () => {
  let endpoint: string;
  let secret: string;

  it('is told how jobs end, signed with its own secret', async () => {
    const types = 'millrace.job.succeeded.v1,millrace.job.failed.v1';
    const made = await millrace('webhooks', 'create', receiver.url(path), '--events', types);
    ({ id: endpoint, secret } = made);
    const job = await submit();
    const webhook = await told(job);
    expect(JSON.parse(webhook.body)).toMatchObject({
      type: 'millrace.job.succeeded.v1',
      data: { job_id: job, status: 'succeeded', result: expect.any(String) },
    });
    expectSigned(webhook, secret);
  });

  it('is pinged by the way of every webhook, and shows what it answered', async () => {
    const { delivery_id: delivery, webhook_id: id } = await millrace('webhooks', 'test', endpoint);
    const ping = await until('the ping', waitMs, () =>
      receiver.at(path).find(({ headers }) => headers['webhook-id'] === id),
    );
    expectSigned(ping, secret);
    const attempts = await until('its attempt', waitMs, async () => {
      const { data } = await millrace('deliveries', 'attempts', delivery);
      return data.length > 0 && data;
    });
    expect(attempts).toMatchObject([{ number: 1, outcome: 'delivered', http_status: 200 }]);
  });

  it('is signed for with both secrets after a rotation', async () => {
    const rotated = await millrace('webhooks', 'rotate-secret', endpoint);
    expect(rotated.secret).not.toBe(secret);
    // Replicas follow within seconds; what was told before is signed with the first alone.
    const webhook = await until('a webhook with both signatures', waitMs, async () => {
      const latest = await told(await submit());
      return String(latest.headers['webhook-signature']).split(' ').length === 2 && latest;
    });
    expectSigned(webhook, secret);
    expectSigned(webhook, rotated.secret);
    secret = rotated.secret;
  });

  it('waits while it is paused, and is told all when it is resumed', async () => {
    await millrace('webhooks', 'pause', endpoint);
    const jobs = [await submit(), await submit()];
    for (const job of jobs) await deliveryBecomes(job, 'waiting');
    expect(jobs.flatMap(toldOf)).toEqual([]);
    await millrace('webhooks', 'resume', endpoint);
    for (const job of jobs) expectSigned(await told(job), secret);
  });

  it('that said 410 is disabled, and recovers what it missed: nothing is lost', async () => {
    const since = new Date(Date.now() - 1_000).toISOString();
    receiver.answer = () => 410;
    const refused = await submit();
    const first = await told(refused);
    await until('the endpoint is disabled', waitMs, async () => {
      const { disabled_reason: reason, status } = await millrace('webhooks', 'get', endpoint);
      return status === 'disabled' && reason === 'gone';
    });
    const missed = await submit();
    for (const job of [refused, missed]) await deliveryBecomes(job, 'skipped_disabled');
    expect(toldOf(missed)).toEqual([]);

    receiver.answer = () => 200;
    await millrace('webhooks', 'enable', endpoint);
    const recovery = await millrace('webhooks', 'recover', endpoint, '--since', since);
    expect(recovery).toMatchObject({ replayed: 2, more: false });
    const again = await told(refused, 2);
    expect([again.body, again.headers['webhook-id']]).toEqual([
      first.body,
      first.headers['webhook-id'],
    ]);
    expectSigned(await told(missed), secret);
    for (const job of [refused, missed]) await deliveryBecomes(job, 'delivered');
  });
});
