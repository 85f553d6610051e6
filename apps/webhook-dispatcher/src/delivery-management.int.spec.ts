import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { replayBatchMax, type DeliveryList, type ReplayBatchAnswer } from '@millrace/contracts';

import { webhookIdOf } from './core/webhook-id.ts';
import { RunningManagement, type GivenDelivery } from './running-management.fixture.ts';

jest.setTimeout(60_000);

const minute = (i: number) => new Date(Date.UTC(2026, 10, 28, 12, i));
const since = minute(0).toISOString();

let management: RunningManagement;

beforeAll(async () => {
  management = await RunningManagement.start();
});
afterAll(async () => {
  await management?.stop();
});

async function listed(tenant: string, query = ''): Promise<DeliveryList> {
  const answer = await management.ask('GET', `/deliveries${query}`, { tenant });
  if (answer.statusCode !== 200) throw new Error(answer.body);
  return answer.json<DeliveryList>();
}

async function replayed(tenant: string, body: object): Promise<ReplayBatchAnswer> {
  const answer = await management.ask('POST', '/deliveries/replay', { tenant, body });
  if (answer.statusCode !== 202) throw new Error(answer.body);
  return answer.json<ReplayBatchAnswer>();
}

const insertAll = (tenant: string, given: readonly GivenDelivery[]) =>
  Promise.all(given.map((delivery) => management.insert({ tenant, ...delivery })));

describe('deliveries', () => {
  it('are listed newest first, a page at a time, of their tenant alone', async () => {
    const ids = ['msg_a', 'msg_b', 'msg_c'];
    await insertAll('pages', ids.map((id, i) => ({ id, createdAt: minute(i) })));
    await management.insert({ id: 'msg_of-another', tenant: 'pages-2' });
    const first = await listed('pages', '?limit=2');
    expect(first.data.map(({ id }) => id)).toEqual(['msg_c', 'msg_b']);
    const second = await listed('pages', `?limit=2&cursor=${first.next_cursor}`);
    expect(second.data.map(({ id }) => id)).toEqual(['msg_a']);
    expect(second.next_cursor).toBeNull();
  });

  it('are told apart when they were made at the same moment', async () => {
    const at = minute(1);
    await insertAll('same', ['msg_1', 'msg_2', 'msg_3'].map((id) => ({ id, createdAt: at })));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: DeliveryList = await listed(
        'same',
        `?limit=1${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...page.data.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(['msg_3', 'msg_2', 'msg_1']);
  });

  it('are found by endpoint, status, job and time', async () => {
    const tenant = 'found';
    const endpoint = await management.endpoint({}, tenant);
    const ofJob = webhookIdOf(`${tenant}:job-1:finished`);
    await insertAll(tenant, [
      { id: ofJob, jobId: 'job-1', createdAt: minute(1), state: 'delivered' },
      { id: `${ofJob}.${endpoint}`, jobId: 'job-1', endpoint, createdAt: minute(2) },
      { id: 'msg_waits', createdAt: minute(3), state: 'waiting' },
    ]);
    const found = async (query: string) =>
      (await listed(tenant, query)).data.map(({ id }) => id);
    expect(await found(`?endpoint=${endpoint}`)).toEqual([`${ofJob}.${endpoint}`]);
    expect(await found('?status=waiting')).toEqual(['msg_waits']);
    expect(await found('?job_id=job-1')).toEqual([`${ofJob}.${endpoint}`, ofJob]);
    const from = encodeURIComponent(minute(2).toISOString());
    const to = encodeURIComponent(minute(3).toISOString());
    expect(await found(`?since=${from}&until=${to}`)).toEqual([`${ofJob}.${endpoint}`]);
    expect(await found('?job_id=job-1&status=dead')).toEqual([`${ofJob}.${endpoint}`]);
  });

  it.each(['?status=lost', '?limit=0', '?cursor=abc', '?since=yesterday', '?more=1'])(
    'are not listed by %s',
    async (query) => {
      const answer = await management.ask('GET', `/deliveries${query}`);
      expect([answer.statusCode, answer.json().code]).toEqual([400, 'invalid_request']);
    },
  );

  it('show their attempts, oldest first, with what was answered and how long it took', async () => {
    const id = 'msg_attempts';
    await management.insert({ id });
    for (const [number, status] of [[1, 500], [2, 503]] as const) {
      await management.admin.query(
        `INSERT INTO dispatcher.delivery_attempts (delivery_id, day, number, tenant, outcome,
           class, status, body_excerpt, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms,
           started_at)
         SELECT id, day, $2, tenant, 'retry', 'server_error', $3, $4, 1, 2, 3, 4, 5, now()
         FROM dispatcher.deliveries WHERE id = $1`,
        [id, number, status, Buffer.from([0x6f, 0x68, 0xff])],
      );
    }
    const answer = await management.ask('GET', `/deliveries/${id}/attempts`);
    expect(answer.json().data).toMatchObject([
      {
        number: 1,
        outcome: 'retry',
        class: 'server_error',
        http_status: 500,
        timings_ms: { dns: 1, connect: 2, tls: 3, first_byte: 4, total: 5 },
        response_excerpt: 'oh\ufffd',
      },
      { number: 2, http_status: 503 },
    ]);
    const other = await management.ask('GET', `/deliveries/${id}/attempts`, { tenant: 'acme' });
    expect(other.statusCode).toBe(404);
  });

  it('have no attempts before the first', async () => {
    await management.insert({ id: 'msg_new', state: 'waiting' });
    const answer = await management.ask('GET', '/deliveries/msg_new/attempts');
    expect(answer.json()).toEqual({ data: [] });
  });
});

describe('a replay of one', () => {
  it('gives it a new schedule under the same id, and wakes its lane', async () => {
    await management.insert({ id: 'msg_dead', code: 'delivery_exhausted' });
    const before = management.woken;
    const answer = await management.ask('POST', '/deliveries/msg_dead/replay');
    expect(answer.statusCode).toBe(202);
    expect(answer.json()).toMatchObject({
      id: 'msg_dead',
      status: 'waiting',
      attempts: 3,
      code: null,
      ended_at: null,
      replayed_at: expect.any(String),
    });
    const { rows } = await management.admin.query(
      `SELECT d.attempts_before, l.due_at <= now() AS due
       FROM dispatcher.deliveries AS d JOIN dispatcher.lanes AS l USING (tenant, origin)
       WHERE d.id = 'msg_dead'`,
    );
    expect(rows).toEqual([{ attempts_before: 3, due: true }]);
    expect(management.woken).toBeGreaterThan(before);
  });

  it('is refused while it is under way: two at once are one', async () => {
    await management.insert({ id: 'msg_twice' });
    const answers = await Promise.all(
      [1, 2, 3].map(() => management.ask('POST', '/deliveries/msg_twice/replay')),
    );
    expect(answers.map(({ statusCode }) => statusCode).toSorted()).toEqual([202, 409, 409]);
    const refused = answers.find(({ statusCode }) => statusCode === 409);
    expect(refused?.json()).toMatchObject({ code: 'delivery_under_way' });
  });

  it.each(['delivered', 'stopped', 'skipped_disabled'])('sends what is %s again', async (state) => {
    const id = `msg_${state}`;
    await management.insert({ id, state });
    expect((await management.ask('POST', `/deliveries/${id}/replay`)).statusCode).toBe(202);
  });

  it('needs an endpoint that takes it', async () => {
    const endpoint = await management.endpoint();
    const id = `msg_endpoint.${endpoint}`;
    await management.insert({ id, endpoint });
    const replay = async () => {
      const answer = await management.ask('POST', `/deliveries/${id}/replay`);
      return [answer.statusCode, answer.json().code];
    };
    await management.admin.query(
      `UPDATE dispatcher.endpoints SET status = 'disabled', disabled_reason = 'gone' WHERE id = $1`,
      [endpoint],
    );
    expect(await replay()).toEqual([409, 'not_enabled']);
    await management.ask('DELETE', `/webhook-endpoints/${endpoint}`);
    expect(await replay()).toEqual([410, 'gone']);
  });

  it("is none of another tenant's", async () => {
    await management.insert({ id: 'msg_own', tenant: 'acme' });
    const answer = await management.ask('POST', '/deliveries/msg_own/replay');
    expect([answer.statusCode, answer.json().code]).toEqual([404, 'not_found']);
  });
});

describe('a replay of many', () => {
  it('takes what was given up or skipped, and nothing else', async () => {
    const states = ['dead', 'skipped_disabled', 'stopped', 'delivered', 'waiting'];
    const tenant = 'states';
    const createdAt = minute(1);
    await insertAll(tenant, states.map((state) => ({ id: `msg_${state}`, state, createdAt })));
    expect(await replayed(tenant, { since })).toMatchObject({ replayed: 2, more: false });
    expect(await replayed(tenant, { since, status: 'stopped' })).toMatchObject({ replayed: 1 });
    const { data } = await listed(tenant, '?status=waiting');
    expect(data.map(({ id }) => id)).toEqual([
      'msg_waiting',
      'msg_stopped',
      'msg_skipped_disabled',
      'msg_dead',
    ]);
  });

  it('takes those of one endpoint, and of an endpoint that is disabled none', async () => {
    const tenant = 'endpoints';
    const one = await management.endpoint({}, tenant);
    const other = await management.endpoint({}, tenant);
    await insertAll(
      tenant,
      [one, other].map((endpoint) => ({ id: `msg_1.${endpoint}`, endpoint, createdAt: minute(1) })),
    );
    expect(await replayed(tenant, { since, endpoint: one })).toMatchObject({ replayed: 1 });
    await management.admin.query(
      `UPDATE dispatcher.endpoints SET status = 'disabled', disabled_reason = 'gone' WHERE id = $1`,
      [other],
    );
    expect(await replayed(tenant, { since })).toMatchObject({ replayed: 0, more: false });
  });

  it('takes the oldest first, says that there are more, and none twice', async () => {
    const tenant = 'many';
    const count = replayBatchMax + 3;
    await management.admin.query(
      `INSERT INTO dispatcher.deliveries (id, day, tenant, url, origin, body, state, attempts,
         created_at, ended_at, event_type)
       SELECT 'msg_' || lpad(i::text, 6, '0'), $2::timestamptz::date, $1, 'https://example.com/',
         'https://example.com', '{}', 'dead', 10, $2::timestamptz + i * interval '1 second', now(),
         'millrace.job.failed.v1' FROM generate_series(1, $3) AS i`,
      [tenant, since, count],
    );
    const first = await replayed(tenant, { since });
    expect(first).toMatchObject({ replayed: replayBatchMax, more: true });
    // Those that fail again meanwhile are not for the same replay.
    await management.admin.query(
      `UPDATE dispatcher.deliveries SET state = 'dead', ended_at = now()
       WHERE tenant = $1 AND state = 'waiting'`,
      [tenant],
    );
    const second = await replayed(tenant, { since, until: first.until });
    expect(second).toMatchObject({ replayed: 3, more: false, until: first.until });
    const { data } = await listed(tenant, '?status=waiting');
    expect(data.map(({ id }) => id)).toEqual(['msg_001003', 'msg_001002', 'msg_001001']);
  });

  it('recovers an endpoint from a moment on', async () => {
    const endpoint = await management.endpoint({}, 'recovery');
    const given = (id: string, i: number, state: string): GivenDelivery => ({
      id: `msg_${id}.${endpoint}`,
      endpoint,
      state,
      createdAt: minute(i),
    });
    await insertAll('recovery', [
      given('before', 0, 'skipped_disabled'),
      given('skipped', 2, 'skipped_disabled'),
      given('dead', 3, 'dead'),
    ]);
    const path = `/webhook-endpoints/${endpoint}/recover`;
    const body = { since: minute(1).toISOString() };
    const other = await management.ask('POST', path, { body, tenant: 'acme' });
    expect(other.statusCode).toBe(404);
    const answer = await management.ask('POST', path, { body, tenant: 'recovery' });
    expect([answer.statusCode, answer.json()]).toEqual([
      202,
      { replayed: 2, more: false, until: expect.any(String) },
    ]);
    const again = await management.ask('POST', path, { body, tenant: 'recovery' });
    expect(again.json()).toMatchObject({ replayed: 0 });
  });

  it('needs to be told since when', async () => {
    const answer = await management.ask('POST', '/deliveries/replay', { body: {} });
    expect([answer.statusCode, answer.json().errors?.[0]?.path]).toEqual([400, 'since']);
  });
});
