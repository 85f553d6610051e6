import { createHmac } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { topics } from '@millrace/contracts';
import type { KafkaReader } from '@millrace/testing';
import { sign as signAsGitHub } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';

import { RunningIngest, type Json } from './running-ingest.fixture.ts';

const secret = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
const secretsKey = Buffer.alloc(32, 9).toString('base64url');
const template = { prompt: 'Look at this: {{ payload.text }}', metadata: { event: '{{ event }}' } };

let ingest: RunningIngest;
let requests: KafkaReader;

beforeAll(async () => {
  ingest = await RunningIngest.start({ MILLRACE_SECRETS_KEY: secretsKey });
  requests = await ingest.reader(topics.claudeRequested);
});

afterAll(async () => {
  await requests.stop();
  await ingest.stop();
});

async function source(given: object = {}): Promise<Json> {
  const body = { name: 'a source', provider: 'standard', secret, template, ...given };
  const answer = await ingest.call('POST', '/v1/inbound-sources', { body });
  expect(answer.status).toBe(201);
  expect(JSON.stringify(answer.body)).not.toContain(secret);
  return answer.body;
}

async function send(path: string, body: string | Buffer, headers: Record<string, string>) {
  const bytes = new Uint8Array(Buffer.from(body));
  const response = await fetch(ingest.url + path, { method: 'POST', headers, body: bytes });
  const text = await response.text();
  const told: Json = text === '' ? undefined : JSON.parse(text);
  return { status: response.status, body: told };
}

function signed(body: string, id = 'msg_1', at = new Date()): Record<string, string> {
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, at, body),
  };
}

const seconds = () => Math.floor(Date.now() / 1000);
const hmac = (text: string) => createHmac('sha256', secret).update(text).digest('hex');

describe('a webhook of another system', () => {
  it.each<[string, (body: string) => Promise<Record<string, string>>]>([
    ['standard', async (body) => signed(body)],
    [
      'github',
      async (body) => ({
        'x-hub-signature-256': await signAsGitHub(secret, body),
        'x-github-delivery': 'gh-1',
        'x-github-event': 'issues',
      }),
    ],
    [
      'stripe',
      async (body) => ({
        'stripe-signature': new Stripe('sk_test').webhooks.generateTestHeaderString({
          payload: body,
          secret,
        }),
      }),
    ],
    [
      'slack',
      async (body) => ({
        'x-slack-request-timestamp': String(seconds()),
        'x-slack-signature': `v0=${hmac(`v0:${seconds()}:${body}`)}`,
      }),
    ],
    ['generic', async (body) => ({ 'x-webhook-signature': hmac(body) })],
  ])('starts a job, signed as %s signs', async (provider, headersOf) => {
    const { path } = await source({ provider });
    const body = JSON.stringify({ id: `evt-${provider}`, text: 'grüße', event_id: provider });
    const headers = { 'content-type': 'application/json', ...(await headersOf(body)) };
    const accepted = await send(path, body, headers);
    expect(accepted).toMatchObject({ status: 202, body: { status: 'accepted' } });
    const job = await ingest.call('GET', `/v1/jobs/${accepted.body.job_id}`);
    expect(job).toMatchObject({ status: 200, body: { status: 'queued' } });
    const isIts = (value: Buffer | null) => value?.includes(accepted.body.job_id) === true;
    const records = await requests.waitFor((all) => all.some(({ value }) => isIts(value)));
    const request = records.find(({ value }) => isIts(value))?.value?.toString('utf8');
    expect(request).toContain('untrusted_data');
    expect(request).toContain('grüße');
  });

  it('is one job, however often it is delivered, at once too', async () => {
    const { path } = await source();
    const body = JSON.stringify({ text: 'once' });
    const sends = Array.from({ length: 20 }, () => send(path, body, signed(body)));
    const answers = await Promise.all(sends);
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array.from({ length: 19 }, () => 200), 202]);
    expect(new Set(answers.map((answer) => answer.body.job_id)).size).toBe(1);
    // The provider says which delivery it is; its body may count the tries.
    const again = JSON.stringify({ text: 'once', try: 2 });
    expect(await send(path, again, signed(again))).toEqual({
      status: 200,
      body: { status: 'duplicate', job_id: answers[0]?.body.job_id },
    });
    expect((await send(path, body, signed(body, 'msg_2'))).status).toBe(202);
  });

  it('is refused without a word when its signature is missing, wrong or old', async () => {
    const { path } = await source();
    const body = JSON.stringify({ text: 'forged' });
    const old = new Date(Date.now() - 301_000);
    const bad = [{}, signed('{}'), signed(body, 'msg_1', old)];
    const answers = await Promise.all(bad.map((headers) => send(path, body, headers)));
    for (const { status, body: problem } of answers) {
      expect(status).toBe(401);
      expect(problem.code).toBe('unauthorized');
    }
    // Nothing of an unsigned body is looked at: it is not even JSON.
    expect((await send(path, '{', {})).status).toBe(401);
  });

  it('is 404 at an address that nobody made, or that is switched off', async () => {
    const body = JSON.stringify({ text: 'lost' });
    const { id, path } = await source();
    for (const unknown of [`/v1/inbound/src_${'A'.repeat(32)}`, '/v1/inbound/x']) {
      expect((await send(unknown, body, signed(body))).status).toBe(404);
    }
    const off = { body: { enabled: false } };
    expect((await ingest.call('PATCH', `/v1/inbound-sources/${id}`, off)).status).toBe(200);
    expect((await send(path, body, signed(body))).status).toBe(404);
  });

  it('answers handshakes, signed ones', async () => {
    const slack = await source({ provider: 'slack' });
    const body = JSON.stringify({ type: 'url_verification', challenge: 'c-1' });
    const headers = {
      'x-slack-request-timestamp': String(seconds()),
      'x-slack-signature': `v0=${hmac(`v0:${seconds()}:${body}`)}`,
    };
    expect(await send(slack.path, body, headers)).toEqual({
      status: 200,
      body: { challenge: 'c-1' },
    });
    const github = await source({ provider: 'github' });
    const ping = { 'x-github-event': 'ping', 'x-hub-signature-256': `sha256=${hmac('{}')}` };
    expect(await send(github.path, '{}', ping)).toMatchObject({ body: { status: 'pong' } });
    expect((await send(slack.path, body, {})).status).toBe(401);
  });

  it('reads forms as Slack sends them', async () => {
    const { path } = await source({ provider: 'slack' });
    const body = `payload=${encodeURIComponent(JSON.stringify({ trigger_id: 't', text: 'form' }))}`;
    const accepted = await send(path, body, {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': String(seconds()),
      'x-slack-signature': `v0=${hmac(`v0:${seconds()}:${body}`)}`,
    });
    expect(accepted.status).toBe(202);
  });

  it('is ignored when the source does not want its type', async () => {
    const { path } = await source({ events: ['issue'] });
    const wanted = JSON.stringify({ type: 'issue.opened' });
    const other = JSON.stringify({ type: 'push' });
    expect((await send(path, other, signed(other))).body).toEqual({ status: 'ignored' });
    expect((await send(path, wanted, signed(wanted))).status).toBe(202);
  });

  it('is told within a second that a job is not kept yet, and finds it later', async () => {
    const { path } = await source();
    const body = JSON.stringify({ text: 'while the database hangs' });
    const headers = signed(body, 'msg_late');
    const holder = await ingest.admin.connect();
    await holder.query('BEGIN; LOCK TABLE ingest.jobs IN ACCESS EXCLUSIVE MODE');
    const sentAtMs = performance.now();
    const response = await fetch(ingest.url + path, { method: 'POST', headers, body });
    const tookMs = performance.now() - sentAtMs;
    await holder.query('ROLLBACK');
    holder.release();
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
    expect(await response.json()).toMatchObject({ code: 'not_durable' });
    expect(tookMs).toBeGreaterThanOrEqual(990);
    // Far from the five seconds that a caller of the API waits, on a busy machine too.
    expect(tookMs).toBeLessThan(4_000);
    const again = await send(path, body, headers);
    expect([200, 202]).toContain(again.status);
    expect((await send(path, body, headers)).body).toEqual({
      status: 'duplicate',
      job_id: again.body.job_id,
    });
  });

  it('that is too long is refused, whether it says so or not', async () => {
    const { path } = await source();
    const long = Buffer.alloc(1024 * 1024 + 1, 0x20);
    expect((await send(path, long, signed(''))).status).toBe(413);
    const chunked = new ReadableStream({
      start(controller) {
        for (let n = 0; n < 3; n += 1) controller.enqueue(new Uint8Array(500_000));
        controller.close();
      },
    });
    const init = { method: 'POST', body: chunked, duplex: 'half', headers: signed('') } as const;
    expect((await fetch(ingest.url + path, init)).status).toBe(413);
    // GitHub's own limit is 25 MiB.
    const github = await source({ provider: 'github' });
    expect((await send(github.path, Buffer.alloc(12_000_000), {})).status).toBe(401);
  });

  it.each([
    ['is not JSON', '{', 'malformed_json'],
    ['is too deep', `${'['.repeat(70)}${']'.repeat(70)}`, 'invalid_request'],
  ])('that %s is told what is wrong, when it is signed', async (_what, body, code) => {
    const { path } = await source();
    const answer = await send(path, body, signed(body));
    expect(answer).toMatchObject({ status: 400, body: { code } });
  });

  it('that makes no job of its template says where', async () => {
    const { path } = await source({ template: { prompt: 'x', session_id: '{{ payload.s }}' } });
    const body = JSON.stringify({ s: 'no session id' });
    const answer = await send(path, body, signed(body));
    expect(answer).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ path: 'session_id' }] },
    });
  });
});

describe('/v1/inbound-sources', () => {
  it('shows a tenant its own sources and no secret', async () => {
    const made = await source({ name: 'mine' });
    const path = `/v1/inbound-sources/${made.id}`;
    expect((await ingest.call('GET', path)).body).toEqual(made);
    expect((await ingest.call('GET', path, { asOther: true })).status).toBe(404);
    expect((await ingest.call('DELETE', path, { asOther: true })).status).toBe(404);
    const page = await ingest.call('GET', '/v1/inbound-sources?limit=1');
    expect(page.body).toMatchObject({ data: [{ id: made.id }], next_cursor: expect.any(String) });
    const rest = await ingest.call('GET', `/v1/inbound-sources?cursor=${page.body.next_cursor}`);
    expect(JSON.stringify(rest.body)).not.toContain(made.id);
    const others = await ingest.call('GET', '/v1/inbound-sources', { asOther: true });
    expect(others.body.data).toEqual([]);
  });

  it('keeps secrets sealed', async () => {
    const { id } = await source();
    const { rows } = await ingest.admin.query<{ secrets: Buffer }>({
      text: 'SELECT secrets FROM ingest.inbound_sources WHERE id = $1',
      values: [id],
    });
    expect(rows[0]?.secrets.toString('latin1')).not.toContain('whsec_');
  });

  it('takes a new secret beside the old one, or in its place', async () => {
    const { id, path } = await source({ provider: 'generic', secret: 'old-secret' });
    const mac = (key: string, body: string) => ({
      'x-webhook-signature': createHmac('sha256', key).update(body).digest('hex'),
    });
    const sendWith = async (key: string) => {
      const body = JSON.stringify({ text: `${key} ${Math.random()}` });
      return (await send(path, body, mac(key, body))).status;
    };
    const add = (body: object) =>
      ingest.call('POST', `/v1/inbound-sources/${id}/secrets`, { body });
    expect((await add({ secret: 'new-secret' })).body).toMatchObject({ secrets: 2 });
    expect([await sendWith('old-secret'), await sendWith('new-secret')]).toEqual([202, 202]);
    expect((await add({ secret: 'last-secret', keep_previous: false })).body).toMatchObject({
      secrets: 1,
    });
    expect([await sendWith('old-secret'), await sendWith('last-secret')]).toEqual([401, 202]);
  });

  it('changes what is given, and deletes', async () => {
    const { id } = await source({ events: ['a'] });
    const path = `/v1/inbound-sources/${id}`;
    const changed = await ingest.call('PATCH', path, { body: { name: 'new', events: null } });
    expect(changed.body).toMatchObject({ name: 'new', template });
    expect(changed.body.events).toBeUndefined();
    expect((await ingest.call('DELETE', path)).status).toBe(204);
    expect((await ingest.call('GET', path)).status).toBe(404);
  });

  it.each([
    ['a template that would reach the system prompt', {
      template: { params: { system: '{{ payload }}', messages: [{ role: 'user', content: 'x' }] } },
    }],
    ['a secret that is none of Standard Webhooks', { secret: 'not-a-whsec' }],
    ['a header for another provider', { provider: 'github', signature_header: 'x-a' }],
    ['an unknown provider', { provider: 'gitea' }],
    ['an unknown field', { colour: 'red' }],
  ])('refuses %s', async (_what, given) => {
    const body = { name: 'bad', provider: 'standard', secret, template, ...given };
    const answer = await ingest.call('POST', '/v1/inbound-sources', { body });
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(answer.body.errors.length).toBeGreaterThan(0);
  });
});
