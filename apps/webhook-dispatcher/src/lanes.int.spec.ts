import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { endpointDisabledSchema } from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import { SecretBox } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { Webhook } from 'standardwebhooks';

import { PostgresEndpoints } from './adapters/postgres-endpoints.ts';
import { PostgresLaneUpkeep } from './adapters/postgres-lane-upkeep.ts';
import { wakeLanesSql } from './adapters/wake-sql.ts';
import { webhookIdOf } from './core/webhook-id.ts';
import {
  addEndpoint,
  Dispatcher,
  putSecret,
  Receiver,
  record,
  secret,
  until,
  type DispatcherOptions,
} from './dispatcher-world.fixture.ts';

jest.setTimeout(60_000);

const tablesUsed = [
  'deliveries',
  'delivery_attempts',
  'endpoints',
  'lanes',
  'outbox',
  'tenants',
  'processes',
] as const;

let database: TestDatabase;
let pool: Pool;
const running: Dispatcher[] = [];
const receivers: Receiver[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.url('webhook_dispatcher'),
    max: 12,
    applicationName: 'webhook-dispatcher',
  });
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

afterEach(async () => {
  for (const receiver of receivers.splice(0)) receiver.close();
  await Promise.all(running.splice(0).map((dispatcher) => dispatcher.stop(0)));
  for (const table of tablesUsed) await pool.query(`DELETE FROM dispatcher.${table}`);
});

async function start(options: DispatcherOptions = {}): Promise<Dispatcher> {
  const dispatcher = new Dispatcher(pool, { scheduleMs: [0, 50, 50], ...options });
  running.push(dispatcher);
  for (const tenant of ['default', 'acme']) await putSecret(dispatcher, tenant);
  await dispatcher.queue.start();
  return dispatcher;
}

async function listen(answer?: Receiver['answer']): Promise<Receiver> {
  const receiver = await new Receiver().listen();
  if (answer !== undefined) receiver.answer = answer;
  receivers.push(receiver);
  return receiver;
}

const hang: Receiver['answer'] = () => {};

/** Ends of jobs without a callback: for endpoints alone. */
function ends(name: string, count: number, changes: object = {}) {
  return Array.from({ length: count }, (_, i) => record(`${name}-${i}`, undefined, changes));
}

interface Row {
  readonly id: string;
  readonly job_id: string;
  readonly state: string;
  readonly attempts: number;
  readonly code: string | null;
}

async function rowsOf(origin: string): Promise<Row[]> {
  const { rows } = await pool.query<Row>(
    `SELECT id, job_id, state, attempts, code FROM dispatcher.deliveries
     WHERE origin = $1 ORDER BY job_id`,
    [origin],
  );
  return rows;
}

async function statesOf(origin: string): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ state: string; count: number }>(
    `SELECT state, count(*)::int AS count FROM dispatcher.deliveries
     WHERE origin = $1 GROUP BY state`,
    [origin],
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

async function laneOf(origin: string) {
  const { rows } = await pool.query(
    `SELECT *, extract(epoch FROM closed_until - now())::float8 AS closed_s,
       probing_until > now() AS is_probing
     FROM dispatcher.lanes WHERE origin = $1`,
    [origin],
  );
  return rows[0];
}

async function statusOf(id: string) {
  const { rows } = await pool.query<{ status: string; disabled_reason: string | null }>(
    'SELECT status, disabled_reason FROM dispatcher.endpoints WHERE id = $1',
    [id],
  );
  return rows[0];
}

/** As the API does that resumes or enables an endpoint. */
async function openLane(origin: string): Promise<void> {
  await pool.query(
    'UPDATE dispatcher.lanes SET closed_until = NULL, closed_why = NULL WHERE origin = $1',
    [origin],
  );
}

/** The breaker's time is over. */
async function openNow(origin: string): Promise<void> {
  await pool.query('UPDATE dispatcher.lanes SET closed_until = now() WHERE origin = $1', [origin]);
}

interface Told {
  readonly key: string;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

async function noticesOf(): Promise<Told[]> {
  const { rows } = await pool.query<{ key: string; type: string; value: Buffer }>(
    `SELECT key, headers ->> 'ce_type' AS type, value FROM dispatcher.outbox
     WHERE topic = 'webhooks.notices.v1' ORDER BY created_at`,
  );
  return rows.map(({ key, type, value }) => ({ key, type, data: JSON.parse(value.toString()) }));
}

describe('an endpoint', () => {
  it('gets each event once, signed with its live secrets, however often it comes', async () => {
    const receiver = await listen();
    const older = `whsec_${Buffer.alloc(32, 2).toString('base64')}`;
    const expired = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
    const soon = new Date(Date.now() + 60_000).toISOString();
    const past = new Date(Date.now() - 1_000).toISOString();
    const id = await addEndpoint(pool, {
      url: receiver.url('/hook'),
      headers: { 'X-Door': 'west' },
      secrets: [
        { secret, expiresAt: null },
        { secret: older, expiresAt: soon },
        { secret: expired, expiresAt: past },
      ],
    });
    const other = await addEndpoint(pool, { url: receiver.url('/other'), payload: 'thin' });
    await addEndpoint(pool, {
      url: receiver.url('/failures'),
      eventTypes: ['millrace.job.failed.v1'],
    });
    await addEndpoint(pool, { url: receiver.url('/acme'), tenant: 'acme' });
    const { consumer } = await start();
    const event = record('job-1', receiver.url('/callback'));
    await consumer.handle([event, event]);
    await until(() => receiver.received.length, (count) => count === 3);
    await consumer.handle([event, record('job-2', receiver.url('/last'))]);
    await until(() => receiver.at('/last').length, (count) => count === 1);
    await until(() => receiver.at('/hook').length, (count) => count === 2);
    await until(() => statesOf(id), ({ delivered }) => delivered === 2);

    const [request] = receiver.at('/hook');
    if (request === undefined) throw new Error('nothing was received');
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    for (const live of [secret, older]) {
      expect(new Webhook(live).verify(request.body, headers)).toMatchObject({
        type: 'millrace.job.succeeded.v1',
        timestamp: '2026-11-23T10:00:01.000Z',
        data: { job_id: 'job-1', status: 'succeeded', result: 'result of job-1' },
      });
    }
    expect(() => new Webhook(expired).verify(request.body, headers)).toThrow();
    expect(headers).toMatchObject({ 'x-door': 'west', 'webhook-attempt': '1' });
    const webhookId = webhookIdOf('default:job-1:finished');
    const ofJob = receiver.received.filter((each) => each.headers['webhook-id'] === webhookId);
    expect(ofJob.map(({ path }) => path).sort()).toEqual(['/callback', '/hook', '/other']);
    expect((await rowsOf(id)).map((row) => row.id)).toContain(`${webhookId}.${id}`);
    expect((await rowsOf(other))[0]).toMatchObject({ state: 'delivered', attempts: 1 });
  });

  it('has a timeout and a schedule of its own; its end is told to the tenant', async () => {
    const receiver = await listen(hang);
    const id = await addEndpoint(pool, {
      url: receiver.url('/hook?token=hush'),
      timeoutMs: 1_000,
      scheduleMs: [300, 10],
    });
    const { consumer } = await start({ totalTimeoutMs: 60_000 });
    const beganAtMs = Date.now();
    await consumer.handle(ends('job', 1));
    await until(() => rowsOf(id), ([row]) => row?.state === 'dead');
    // 300 ms, a timeout, the schedule's 10 ms or the least wait after one, and a timeout.
    expect(Date.now() - beganAtMs).toBeGreaterThanOrEqual(2_300);
    expect(receiver.received).toHaveLength(2);
    expect(await noticesOf()).toMatchObject([
      {
        key: id,
        type: 'millrace.delivery.exhausted.v1',
        data: {
          endpoint: id,
          job_id: 'job-0',
          attempts: 2,
          code: 'delivery_exhausted',
          url: receiver.url('/hook'),
        },
      },
    ]);
    const { rows } = await pool.query(
      `SELECT FROM dispatcher.outbox WHERE topic <> 'webhooks.notices.v1'`,
    );
    expect(rows).toEqual([]);
  });

  it('gets no more a second than its rate', async () => {
    const receiver = await listen();
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), ratePerSecond: 5 });
    const { consumer } = await start();
    const beganAtMs = Date.now();
    await consumer.handle(ends('job', 15));
    await until(() => statesOf(id), ({ delivered }) => delivered === 15);
    // Five at once, and ten more at five a second.
    expect(Date.now() - beganAtMs).toBeGreaterThanOrEqual(1_990);
  });

  it('gets no more at once than its cap, however quickly it answers', async () => {
    let now = 0;
    let most = 0;
    const receiver = await listen((_, __, response) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        response.end();
      }, 5);
    });
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), inFlightMax: 3 });
    const { consumer } = await start();
    await consumer.handle(ends('job', 200));
    await until(() => statesOf(id), ({ delivered }) => delivered === 200);
    expect(most).toBe(3);
  });

  it('is found in a batch of more tenants than are remembered', async () => {
    const id = await addEndpoint(pool, { url: 'https://one.example/hook', tenant: 'tenant-0' });
    const tenants = Array.from({ length: 1_200 }, (_, i) => `tenant-${i}`);
    const endpoints = new PostgresEndpoints(pool, new SecretBox());
    const found = await endpoints.ofTenants(tenants);
    expect(found.get('tenant-0')?.map((endpoint) => endpoint.id)).toEqual([id]);
    expect(found.get('tenant-1199')).toEqual([]);
  });

  it('that was paused and resumed a moment ago is not taken for paused', async () => {
    const receiver = await listen();
    const id = await addEndpoint(pool, { url: receiver.url('/hook') });
    const endpoints = new PostgresEndpoints(pool, new SecretBox());
    const status = (to: string) =>
      pool.query('UPDATE dispatcher.endpoints SET status = $2 WHERE id = $1', [id, to]);
    await status('paused');
    expect(await endpoints.find({ tenant: 'default', id })).toMatchObject({ status: 'paused' });
    await status('enabled');
    expect(await endpoints.find({ tenant: 'default', id })).toMatchObject({ status: 'enabled' });
  });

  it('that was deleted gets nothing more, and what was on its way ends', async () => {
    const receiver = await listen((_, __, response) => {
      response.statusCode = 500;
      response.end();
    });
    const id = await addEndpoint(pool, {
      url: receiver.url('/hook'),
      scheduleMs: [0, 400, 60_000],
    });
    const { consumer } = await start();
    await consumer.handle(ends('job', 1));
    await until(() => receiver.received.length, (count) => count === 1);
    await pool.query('UPDATE dispatcher.endpoints SET deleted_at = now() WHERE id = $1', [id]);
    const upkeep = new PostgresLaneUpkeep(pool);
    // What a process remembers of it is two seconds old at most; the upkeep ends what waits.
    const [row] = await until(
      async () => {
        await upkeep.endUnsendable();
        return rowsOf(id);
      },
      ([each]) => each?.state === 'stopped',
    );
    expect(row).toMatchObject({ code: 'endpoint_deleted' });
    await consumer.handle(ends('later', 1));
    expect(await statesOf(id)).toEqual({ stopped: 1 });
  });
});

describe('an endpoint that says 410', () => {
  it('is disabled, keeps what it did not get, and gets it when that is replayed', async () => {
    let isGone = true;
    const receiver = await listen((_, __, response) => {
      response.statusCode = isGone ? 410 : 200;
      response.end();
    });
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), inFlightMax: 1 });
    const witness = await addEndpoint(pool, {
      url: receiver.url('/witness'),
      eventTypes: ['millrace.endpoint.disabled.v1'],
    });
    const { consumer, notices } = await start();
    await consumer.handle(ends('before', 5));
    const upkeep = new PostgresLaneUpkeep(pool);
    await until(
      async () => {
        await upkeep.endUnsendable();
        return statesOf(id);
      },
      ({ skipped_disabled: skipped }) => skipped === 5,
    );
    await consumer.handle(ends('after', 3));
    expect(await statesOf(id)).toEqual({ skipped_disabled: 8 });
    expect((await rowsOf(id)).every(({ code }) => code === 'endpoint_disabled')).toBe(true);
    expect(receiver.at('/hook').length).toBeLessThan(5);
    expect(await statusOf(id)).toEqual({ status: 'disabled', disabled_reason: 'gone' });
    expect(await laneOf(id)).toMatchObject({ closed_why: 'disabled', closed_until: Infinity });

    const told = await noticesOf();
    expect(told).toMatchObject([
      { key: id, type: 'millrace.endpoint.disabled.v1', data: { endpoint: id, reason: 'gone' } },
    ]);
    const noticeRecord = {
      topic: 'webhooks.notices.v1',
      partition: 0,
      offset: '0',
      key: id,
      timestampMs: Date.now(),
      id: 'the-cause',
      type: 'millrace.endpoint.disabled.v1',
      headers: {},
      data: endpointDisabledSchema.parse(told[0]?.data),
      context: ROOT_CONTEXT,
    };
    isGone = false;
    await notices.handle([noticeRecord, noticeRecord]);
    await until(() => statesOf(witness), ({ delivered }) => delivered === 1);
    expect(receiver.at('/witness')).toHaveLength(1);

    // As the API enables and replays.
    await pool.query(
      `UPDATE dispatcher.endpoints SET status = 'enabled', disabled_reason = NULL WHERE id = $1`,
      [id],
    );
    await openLane(id);
    await pool.query(
      `WITH replayed AS (
         UPDATE dispatcher.deliveries SET state = 'waiting', not_before = now(), ended_at = NULL,
           code = NULL, redriven_at = now(), attempts_before = attempts
         WHERE origin = $1 RETURNING tenant, origin, not_before
       ) ${wakeLanesSql('SELECT * FROM replayed')}`,
      [id],
    );
    await until(() => statesOf(id), ({ delivered }) => delivered === 8);
    const ids = receiver.at('/hook').map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(8);
  });

  it('and delivers by a 2xx that asks for it, is disabled as well', async () => {
    const receiver = await listen((_, __, response) => {
      response.writeHead(200, { 'webhook-delivery': 'disable' }).end();
    });
    const id = await addEndpoint(pool, { url: receiver.url('/hook') });
    const { consumer } = await start();
    await consumer.handle(ends('job', 1));
    await until(() => noticesOf(), (notices) => notices.length === 1);
    expect((await noticesOf())[0]?.data).toMatchObject({ endpoint: id, reason: 'requested' });
    expect(await statesOf(id)).toEqual({ delivered: 1 });
  });

  it('stops a callback, and no other one of its origin', async () => {
    const receiver = await listen((path, _, response) => {
      response.statusCode = path === '/gone' ? 410 : 200;
      response.end();
    });
    const { consumer } = await start();
    await consumer.handle([record('job-1', receiver.url('/gone'))]);
    const origin = new URL(receiver.url('/')).origin;
    await until(() => statesOf(origin), ({ stopped }) => stopped === 1);
    await consumer.handle([record('job-2', receiver.url('/there'))]);
    await until(() => statesOf(origin), ({ delivered }) => delivered === 1);
  });
});

describe('an endpoint that fails for days', () => {
  async function failOnce(lane: string, options: DispatcherOptions = {}) {
    const receiver = await listen((_, __, response) => void response.writeHead(500).end());
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), scheduleMs: [0, 60_000] });
    await pool.query(
      `INSERT INTO dispatcher.lanes (tenant, origin, failures, failing_since, last_success_at)
       VALUES ('default', $1, ${lane})`,
      [id],
    );
    const { consumer } = await start(options);
    await consumer.handle(ends('job', 1));
    await until(() => rowsOf(id), ([row]) => row?.attempts === 1 && row.state !== 'sending');
    return id;
  }

  it('is disabled after five days of them', async () => {
    const id = await failOnce(`9, now() - interval '13 hours', now() - interval '121 hours'`);
    await until(() => noticesOf(), (notices) => notices.length === 1);
    expect((await noticesOf())[0]?.data).toMatchObject({ endpoint: id, reason: 'failing' });
  });

  it('is not for any number of failures within hours', async () => {
    const id = await failOnce(`5000, now() - interval '11 hours', now() - interval '11 hours'`);
    expect(await statusOf(id)).toEqual({ status: 'enabled', disabled_reason: null });
    expect(await laneOf(id)).toMatchObject({ failures: 5001, closed_why: null });
  });

  it('is not by what the egress proxy did not get there', async () => {
    // Nothing listens on port 1.
    const proxy = { host: '127.0.0.1', port: 1, tls: false, authorization: null };
    const id = await failOnce(`9, now() - interval '13 hours', now() - interval '121 hours'`, {
      proxy,
    });
    const { rows } = await pool.query(
      `SELECT outcome, class, status FROM dispatcher.delivery_attempts WHERE tenant = 'default'`,
    );
    expect(rows).toEqual([{ outcome: 'retry', class: 'proxy', status: null }]);
    expect(await statusOf(id)).toEqual({ status: 'enabled', disabled_reason: null });
    expect(await laneOf(id)).toMatchObject({ failures: 9, closed_why: null });
    expect(await noticesOf()).toEqual([]);
  });

  it('is told once to redirect', async () => {
    const receiver = await listen((_, __, response) => {
      response.writeHead(302, { location: 'https://elsewhere.example/' }).end();
    });
    const id = await addEndpoint(pool, { url: receiver.url('/hook') });
    const { consumer } = await start();
    await consumer.handle(ends('job', 2));
    await until(() => statesOf(id), ({ dead }) => dead === 2);
    const failing = (await noticesOf()).filter(({ type }) => type.includes('failing'));
    expect(failing).toMatchObject([{ key: id, data: { reason: 'redirect' } }]);
  });
});

describe('a lane', () => {
  it('that was asked to wait is left alone by every process for so long', async () => {
    let askedAtMs = 0;
    const receiver = await listen((_, count, response) => {
      if (count > 1) return void response.end();
      askedAtMs = Date.now();
      response.writeHead(429, { 'retry-after': '2' }).end();
    });
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), inFlightMax: 1 });
    const [one, two] = [await start(), await start()];
    await one.consumer.handle(ends('first', 1));
    await until(() => laneOf(id), (lane) => lane?.closed_why === 'retry_after');
    for (const [i, process] of [one, two].entries()) {
      await process.consumer.handle(ends(`more-${i}`, 20));
    }
    await until(() => statesOf(id), ({ delivered }) => delivered === 41);
    const [, second] = receiver.received;
    expect((second?.atMs ?? 0) - askedAtMs).toBeGreaterThanOrEqual(1_900);
    expect(receiver.received).toHaveLength(42);
  });

  it('whose breaker has opened gets one probe, which closes it', async () => {
    let isDown = true;
    const receiver = await listen((_, __, response) => void (isDown || response.end()));
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), timeoutMs: 1_000 });
    const options = { scheduleMs: [0, 20, 20, 20, 20, 20], totalTimeoutMs: 60_000 };
    const [one, two] = [await start(options), await start(options)];
    await one.consumer.handle(ends('job', 8));
    await until(() => laneOf(id), (lane) => lane?.closed_why === 'breaker');
    await until(() => statesOf(id), ({ sending }) => sending === undefined);
    const tried = receiver.received.length;
    expect(await laneOf(id)).toMatchObject({ opened: 1 });
    await two.consumer.handle(ends('during', 20));
    expect((await statesOf(id))['waiting']).toBe(28);

    await openNow(id);
    one.queue.wake();
    two.queue.wake();
    await until(() => receiver.received.length, (count) => count === tried + 1);
    await until(() => laneOf(id), (lane) => lane?.opened === 2 && lane.is_probing !== true);
    // Twice as long, and still the one attempt.
    expect((await laneOf(id))?.closed_s).toBeGreaterThan(50);
    expect(receiver.received).toHaveLength(tried + 1);

    isDown = false;
    await openNow(id);
    one.queue.wake();
    await until(() => statesOf(id), ({ delivered }) => delivered === 28);
    expect(await laneOf(id)).toMatchObject({
      closed_until: null,
      closed_why: null,
      opened: 0,
      failures: 0,
      failing_since: null,
    });
    const failing = (await noticesOf()).map(({ type }) => type);
    expect(failing).toEqual(['millrace.endpoint.failing.v1']);
  });

  it('that says to be overloaded gets half as many at once, on every process', async () => {
    const receiver = await listen((_, __, response) => void response.writeHead(503).end());
    const id = await addEndpoint(pool, { url: receiver.url('/hook'), scheduleMs: [0, 60_000] });
    const { consumer } = await start();
    await consumer.handle(ends('job', 4));
    await until(() => laneOf(id), (lane) => lane?.failures === 4);
    expect((await laneOf(id))?.in_flight_max).toBeLessThanOrEqual(5);
    receiver.answer = hang;
    const other = await start({ totalTimeoutMs: 60_000 });
    await running.shift()?.stop(0);
    await pool.query(
      'UPDATE dispatcher.lanes SET in_flight_max = 2, due_at = now() WHERE origin = $1',
      [id],
    );
    await pool.query('UPDATE dispatcher.deliveries SET not_before = now() WHERE origin = $1', [id]);
    other.queue.wake();
    await until(() => receiver.received.length, (count) => count === 6);
    expect((await statesOf(id))['sending']).toBe(2);
  });

  it('that is paused keeps its deliveries waiting, and sends them when it is resumed', async () => {
    const receiver = await listen();
    const id = await addEndpoint(pool, { url: receiver.url('/hook') });
    await pool.query(`UPDATE dispatcher.endpoints SET status = 'paused' WHERE id = $1`, [id]);
    const { consumer, queue } = await start();
    await consumer.handle(ends('job', 5));
    // The claim finds the pause, and closes the lane for good.
    await until(() => laneOf(id), (lane) => lane?.closed_why === 'paused');
    expect(await statesOf(id)).toEqual({ waiting: 5 });
    await pool.query(`UPDATE dispatcher.endpoints SET status = 'enabled' WHERE id = $1`, [id]);
    await openLane(id);
    queue.wake();
    await until(() => statesOf(id), ({ delivered }) => delivered === 5);
    expect(receiver.received).toHaveLength(5);
  });

  it('whose row was deleted with deliveries in it is found again', async () => {
    const receiver = await listen();
    const dispatcher = await start();
    await pool.query(
      `INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, state)
       VALUES ('msg_lost', current_date, 'default', 'lost', $1, $2, '{}', 'waiting')`,
      [receiver.url('/lost'), new URL(receiver.url('/')).origin],
    );
    expect(await new PostgresLaneUpkeep(pool).wakeForgotten()).toBe(1);
    dispatcher.queue.wake();
    await until(() => receiver.at('/lost').length, (count) => count === 1);
    expect(await new PostgresLaneUpkeep(pool).wakeForgotten()).toBe(0);
  });

  it('that nobody has used for a week is forgotten, and none that is closed for good', async () => {
    await pool.query(
      `INSERT INTO dispatcher.lanes (tenant, origin, changed_at, closed_until, closed_why)
       VALUES ('t', 'old', now() - interval '8 days', NULL, NULL),
         ('t', 'new', now() - interval '6 days', NULL, NULL),
         ('t', 'paused', now() - interval '8 days', 'infinity', 'paused')`,
    );
    expect(await new PostgresLaneUpkeep(pool).forgetUnused()).toBe(1);
    expect(await laneOf('old')).toBeUndefined();
  });
});

describe('receivers that hang', () => {
  it('do not delay others: the slowest of a hundred is a matter of moments', async () => {
    const hanging = await listen(hang);
    const healthy = await listen();
    const dead = await addEndpoint(pool, { url: hanging.url('/hook') });
    const { consumer } = await start({ totalTimeoutMs: 60_000, scheduleMs: [0, 60_000] });
    await consumer.handle(ends('backlog', 300));
    await until(() => hanging.received.length, (count) => count === 10);
    const live = await addEndpoint(pool, { url: healthy.url('/hook'), tenant: 'acme' });
    // The memory of endpoints is two seconds old at most.
    await until(
      async () => {
        await consumer.handle(ends('known', 1, { tenant: 'acme', job_id: `known-${Date.now()}` }));
        return healthy.received.length;
      },
      (count) => count > 0,
    );
    const latenciesMs: number[] = [];
    for (let round = 0; round < 10; round += 1) {
      const sentAtMs = Date.now();
      const before = healthy.received.length;
      await consumer.handle([
        ...ends(`dead-${round}`, 10),
        ...ends(`live-${round}`, 10, { tenant: 'acme' }),
      ].map((each, i) => ({ ...each, headers: { ...each.headers, ce_id: `${round}:${i}` } })));
      await until(() => healthy.received.length, (count) => count >= before + 10);
      latenciesMs.push(...healthy.received.slice(before).map(({ atMs }) => atMs - sentAtMs));
    }
    expect(latenciesMs.length).toBeGreaterThanOrEqual(100);
    expect(Math.max(...latenciesMs)).toBeLessThan(3_000);
    expect(hanging.received).toHaveLength(10);
    await until(() => statesOf(live), (states) => (states['delivered'] ?? 0) >= 100);
    expect((await statesOf(dead))['sending']).toBe(10);
  });

  it('of one tenant hold a quarter of the slots, however many origins they are', async () => {
    const hanging = await Promise.all(Array.from({ length: 10 }, () => listen(hang)));
    const healthy = await listen();
    const { consumer } = await start({ slotsMax: 80, totalTimeoutMs: 60_000 });
    await consumer.handle(
      hanging.flatMap((receiver, i) =>
        Array.from({ length: 10 }, (_, n) => record(`hang-${i}-${n}`, receiver.url('/hook'))),
      ),
    );
    const received = () => hanging.reduce((sum, receiver) => sum + receiver.received.length, 0);
    await until(received, (count) => count === 20);
    const ofAcme = Array.from({ length: 40 }, (_, n) =>
      record(`acme-${n}`, healthy.url(`/${n}`), { tenant: 'acme' }),
    );
    await consumer.handle(ofAcme);
    await until(() => healthy.received.length, (count) => count === 40);
    expect(received()).toBe(20);
  });
});
