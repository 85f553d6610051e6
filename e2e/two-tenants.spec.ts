import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook as StandardWebhook } from 'standardwebhooks';

import { WebhookReceiver, type ReceivedWebhook } from './receivers/webhook-receiver.ts';
import { produce, stack, uniqueId, until, type ShownJob } from './running-stack.ts';

/** Attempts fail for some seconds: time to disable its tenant meanwhile. */
const failing = '[[fault:500 times=6]]';
const waitMs = 60_000;
/** Named in the contract: every replica follows a revocation within this. */
const revocationMsMax = 10_000;
const terminal = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** What `JSON.parse` gives: a story states what it expects to find in it. */
type Json = ReturnType<typeof JSON.parse>;

interface Answer {
  readonly status: number;
  readonly body: Json;
}

interface Call {
  readonly key: string;
  readonly body?: object;
  readonly replica?: number;
  readonly headers?: Record<string, string>;
}

async function call(route: string, { key, body, replica = 0, headers }: Call): Promise<Answer> {
  const [method = 'GET', path = '/'] = route.split(' ');
  const response = await fetch(`${stack.apiUrls[replica % stack.apiUrls.length]}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

/** A tenant as its own people see it. */
interface Party {
  readonly id: string;
  readonly key: string;
  readonly secret: string;
  readonly topic: string;
}

const operator = { key: stack.adminKey };

async function makeParty(name: string, replica: number): Promise<Party> {
  const id = `${name}-${crypto.randomUUID().slice(0, 8)}`;
  const made = await call('POST /v1/tenants', { ...operator, body: { id }, replica });
  expect(made.status).toBe(201);
  const key = await makeKey(id);
  return { id, key, secret: made.body.webhook_secret, topic: made.body.intake_topic };
}

async function makeKey(tenant: string): Promise<string> {
  const body = { tenant, label: 'story' };
  const made = await call('POST /v1/api-keys', { ...operator, body });
  expect(made.status).toBe(201);
  return made.body.key;
}

function endOf({ id: tenant, key }: Party, job: string): Promise<ShownJob> {
  return until(`the end of ${job} of ${tenant}`, waitMs, async () => {
    const { status, body } = await call(`GET /v1/jobs/${job}`, { key });
    return status === 200 && terminal.has(body.status) && body;
  });
}

/** What the model was asked in every call that held this text. */
async function conversations(mark: string): Promise<string[]> {
  const journal = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  const entries: { body?: { messages?: unknown } }[] = JSON.parse(await journal.text());
  return entries
    .map(({ body }) => JSON.stringify(body?.messages ?? ''))
    .filter((text) => text.includes(mark));
}

function isSignedWith(secret: string, { headers, body }: ReceivedWebhook): boolean {
  try {
    new StandardWebhook(secret).verify(body, {
      'webhook-id': String(headers['webhook-id']),
      'webhook-timestamp': String(headers['webhook-timestamp']),
      'webhook-signature': String(headers['webhook-signature']),
    });
    return true;
  } catch {
    return false;
  }
}

describe('two tenants with equal names for everything', () => {
  let receiver: WebhookReceiver;
  let mill: Party;
  let race: Party;
  const job = uniqueId('job');
  const session = uniqueId('talk');
  const parties = (): Party[] => [mill, race];
  const otherOf = (party: Party): Party => (party === mill ? race : mill);

  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    [mill, race] = await Promise.all([makeParty('mill', 0), makeParty('race', 1)]);
  });
  afterAll(() => receiver.close());

  /** What a party hands over: the ids and the address are the other's too. */
  const handedOver = (party: Party, id: string) => ({
    job_id: id,
    session_id: session,
    prompt: `I am ${party.id}, and this is ${id}.`,
    callback_url: receiver.url('/both'),
  });

  /** Each has its own answer to its own words, and its own signature under it. */
  async function expectOwn(id: string): Promise<void> {
    for (const party of parties()) {
      const done = await endOf(party, id);
      expect(done).toMatchObject({ id, status: 'succeeded' });
      expect(done.result).toContain(party.id);
      expect(done.result).not.toContain(otherOf(party).id);
    }
    const told = await until(`both webhooks of ${id}`, waitMs, () => {
      const webhooks = receiver.at('/both').filter(({ jobId }) => jobId === id);
      return webhooks.length >= 2 && webhooks;
    });
    expect(new Set(told.map(({ headers }) => headers['webhook-id'])).size).toBe(2);
    for (const party of parties()) {
      const own = told.filter((webhook) => isSignedWith(party.secret, webhook));
      expect(own.map(({ body }) => body.includes(party.id))).toEqual([true]);
    }
  }

  it('over HTTP each has a job, a session and a webhook of its own', async () => {
    const headers = { 'idempotency-key': uniqueId('key') };
    const accepted = await Promise.all(
      parties().flatMap((party) =>
        // At both replicas, and twice: one job for each of the two.
        [0, 1, 0].map((replica) =>
          call('POST /v1/jobs', { key: party.key, body: handedOver(party, job), replica, headers }),
        ),
      ),
    );
    expect(accepted.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 202));
    await expectOwn(job);
  });

  it('over each one’s topic too, and a session goes on with its own history alone', async () => {
    const id = uniqueId('by-topic');
    await Promise.all(
      parties().map((party) =>
        produce(party.topic, [
          // What the record says of its tenant is not looked at.
          {
            key: session,
            value: JSON.stringify(handedOver(party, id)),
            headers: {
              ce_id: id,
              ce_type: 'millrace.job.submitted.v1',
              ce_source: 'e2e',
              ce_tenant: otherOf(party).id,
            },
          },
        ]),
      ),
    );
    await expectOwn(id);
    for (const party of parties()) {
      const asked = await conversations(`I am ${party.id}, and this is ${id}.`);
      expect(asked).toHaveLength(1);
      expect(asked[0]).toContain(`I am ${party.id}, and this is ${job}.`);
      expect(asked[0]).not.toContain(otherOf(party).id);
    }
  });

  it('neither sees, follows, cancels or counts what is the other’s', async () => {
    const id = uniqueId('mine');
    const { key } = race;
    const body = { job_id: id, prompt: `${id} ${failing}` };
    expect((await call('POST /v1/jobs', { key: mill.key, body })).status).toBe(202);
    await produce(mill.topic, [{ key: 'k', value: 'no JSON' }]);
    for (const route of [
      `GET /v1/jobs/${id}`,
      `GET /v1/jobs/${id}/events`,
      `POST /v1/jobs/${id}/cancel`,
    ]) {
      for (const replica of [0, 1]) {
        const answer = await call(route, { key, replica });
        expect([route, answer.status, answer.body.code]).toEqual([route, 404, 'not_found']);
      }
    }
    const letters = async (of: Party): Promise<Json[]> =>
      (await call('GET /v1/dead-letters', { key: of.key })).body.data;
    const [letter] = await until('the dead letter', waitMs, async () => {
      const found = await letters(mill);
      return found.length > 0 && found;
    });
    expect(await letters(race)).toEqual([]);
    expect((await call(`GET /v1/dead-letters/${letter.id}`, { key })).status).toBe(404);
    const listed = await call('GET /v1/jobs?limit=100', { key });
    expect(JSON.stringify(listed.body)).not.toContain(id);
    const keys = await call('GET /v1/api-keys', { key });
    expect(JSON.stringify(keys.body)).not.toContain(mill.id);
    // It was not cancelled: it ends as its own attempts do.
    expect((await endOf(mill, id)).status).not.toBe('cancelled');
  });
});

describe('a tenant that is disabled while it and another work', () => {
  it('is not served and loses nothing; the other goes on; both do when it is enabled', async () => {
    const receiver = await WebhookReceiver.listen();
    const [paused, busy] = await Promise.all([makeParty('paused', 0), makeParty('busy', 1)]);
    try {
      const path = `/${paused.id}`;
      const running = uniqueId('running');
      const prompt = `${running} ${failing}`;
      const body = { job_id: running, prompt, callback_url: receiver.url(path) };
      const accepted = await call('POST /v1/jobs', { key: paused.key, body });
      expect(accepted.status).toBe(202);

      await call(`DELETE /v1/tenants/${paused.id}`, operator);
      await allRefuse(paused.key);
      const later = uniqueId('later');
      const record = { value: JSON.stringify({ job_id: later, prompt: 'Later.' }) };
      await Promise.all([paused, busy].map(({ topic }) => produce(topic, [record])));
      expect((await endOf(busy, later)).status).toBe('succeeded');
      // What was accepted before ends, and is told with the tenant's own signature.
      const webhook = await until('its webhook', waitMs, () => receiver.at(path)[0]);
      expect([webhook.jobId, isSignedWith(paused.secret, webhook)]).toEqual([running, true]);

      const enabled = await call(`POST /v1/tenants/${paused.id}/enable`, operator);
      expect(enabled.status).toBe(200);
      expect((await endOf(paused, later)).status).toBe('succeeded');
      expect((await endOf(paused, running)).status).not.toBe('cancelled');
    } finally {
      await receiver.close();
    }
  });

  it('loses a key that is revoked while it is used, and the other key goes on', async () => {
    const party = await makeParty('keys', 0);
    const [kept, lost] = [party.key, await makeKey(party.id)];
    const { body } = await call('GET /v1/api-keys', { key: kept });
    const data: { id: string; last4: string }[] = body.data;
    const id = data.find(({ last4 }) => last4 === lost.slice(-4))?.id;
    const accepted: string[] = [];
    const working = until('the key to be refused', waitMs, async () => {
      const answer = await call('POST /v1/jobs', { key: lost, body: { prompt: 'On and on.' } });
      if (answer.status === 202) accepted.push(answer.body.id);
      return answer.status === 401;
    });
    await until('a job by it', waitMs, () => accepted.length > 0);
    await call(`DELETE /v1/api-keys/${id}`, { key: kept, replica: 1 });
    await working;
    await allRefuse(lost);
    for (const job of accepted) {
      expect((await endOf({ ...party, key: kept }, job)).status).toBe('succeeded');
    }
  });
});

describe('tenants and keys on the command line', () => {
  const program = join(import.meta.dirname, '../apps/cli/bin/millrace.mjs');
  /** The folder of the stack holds the operator's key, as for whoever works beside it. */
  async function millrace(...words: string[]): Promise<Json> {
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...words, '--json'], {
      env: { MILLRACE_URL: stack.url, MILLRACE_HOME: stack.home },
    });
    return JSON.parse(stdout);
  }

  it('are made, listed and taken back', async () => {
    const id = `typed-${crypto.randomUUID().slice(0, 8)}`;
    const { webhook_secret: secret } = await millrace('tenants', 'create', id);
    expect(secret).toMatch(/^whsec_/);
    expect(JSON.stringify(await millrace('tenants', 'list'))).toContain(id);
    const { key, id: keyId } = await millrace('keys', 'create', 'by hand', '--tenant', id);
    expect((await call('GET /v1/jobs', { key })).status).toBe(200);
    const { data } = await millrace('keys', 'list', '--tenant', id);
    expect(data).toEqual([expect.objectContaining({ id: keyId, label: 'by hand' })]);
    const revoked = await millrace('keys', 'revoke', keyId, '--tenant', id);
    expect(revoked.revoked_at).toEqual(expect.any(String));
    await allRefuse(key);
    expect((await millrace('tenants', 'disable', id)).disabled_at).toEqual(expect.any(String));
    expect((await millrace('tenants', 'enable', id)).disabled_at).toBeNull();
    const rotated = await millrace('tenants', 'rotate-secret', id, '--drop-previous');
    expect(rotated.webhook_secret).not.toBe(secret);
  });
});

/** Every replica refuses the key within the time that the contract names. */
async function allRefuse(key: string): Promise<void> {
  await Promise.all(
    stack.apiUrls.map((_, replica) =>
      until(`replica ${replica} refuses the key`, revocationMsMax, async () => {
        return (await call('GET /v1/jobs', { key, replica })).status === 401;
      }),
    ),
  );
}
