import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { deliveryIdSchema } from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { Webhook } from 'standardwebhooks';

import { PostgresDeliveries } from './adapters/postgres-deliveries.ts';
import { PostgresLaneUpkeep } from './adapters/postgres-lane-upkeep.ts';
import { PostgresTenantDeliveries } from './adapters/postgres-tenant-deliveries.ts';
import { webhookIdOf } from './core/webhook-id.ts';
import {
  codec,
  Dispatcher,
  putSecret,
  Receiver,
  record,
  secret,
  until,
  type DispatcherOptions,
} from './dispatcher-world.fixture.ts';

let database: TestDatabase;
let pool: Pool;
let receiver: Receiver;
const running: Dispatcher[] = [];
const tablesUsed = [
  'deliveries',
  'delivery_attempts',
  'lanes',
  'outbox',
  'tenants',
  'processes',
] as const;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.url('webhook_dispatcher'),
    max: 10,
    applicationName: 'webhook-dispatcher',
  });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

beforeEach(async () => {
  receiver = await new Receiver().listen();
});

afterEach(async () => {
  receiver.close();
  await Promise.all(running.splice(0).map((dispatcher) => dispatcher.stop(0)));
  for (const table of tablesUsed) {
    await pool.query(`DELETE FROM dispatcher.${table}`);
  }
});

async function start(options?: DispatcherOptions, withSecret = true): Promise<Dispatcher> {
  const dispatcher = new Dispatcher(pool, options);
  running.push(dispatcher);
  if (withSecret) await putSecret(dispatcher, 'default');
  await dispatcher.queue.start();
  return dispatcher;
}

interface RowState {
  readonly state: string;
  readonly attempts: number;
  readonly code: string | null;
  readonly owner: string | null;
}

async function rowOf(jobId: string): Promise<RowState | undefined> {
  const { rows } = await pool.query<RowState>(
    'SELECT state, attempts, code, owner FROM dispatcher.deliveries WHERE job_id = $1',
    [jobId],
  );
  return rows[0];
}

async function attemptsOf(jobId: string) {
  const { rows } = await pool.query<{ body_excerpt: Buffer }>(
    `SELECT number, outcome, class, status, body_excerpt, total_ms
     FROM dispatcher.delivery_attempts WHERE delivery_id = $1 ORDER BY number`,
    [webhookIdOf(`default:${jobId}:finished`)],
  );
  return rows;
}

function ended(jobId: string): Promise<RowState | undefined> {
  return until(() => rowOf(jobId), (row) => row !== undefined && /dea|del|sto/.test(row.state));
}

describe('a delivery', () => {
  it('is sent once, signed, for an event that is delivered twice', async () => {
    const { consumer } = await start();
    const event = record('job-1', receiver.url('/hook'));
    expect(await consumer.handle([event, event])).toEqual({ deadLetters: [] });
    expect(await ended('job-1')).toMatchObject({ state: 'delivered', attempts: 1, owner: null });
    await consumer.handle([event]);
    await consumer.handle([record('job-2', receiver.url('/other'))]);
    await ended('job-2');
    const [request, ...more] = receiver.at('/hook');
    expect(more).toEqual([]);
    if (request === undefined) throw new Error('nothing was received');
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    expect(new Webhook(secret).verify(request.body, headers)).toEqual({
      job_id: 'job-1',
      status: 'succeeded',
      result: 'result of job-1',
      finished_at: '2026-11-23T10:00:01.000Z',
    });
    expect(headers).toMatchObject({
      'webhook-id': webhookIdOf('default:job-1:finished'),
      'webhook-attempt': '1',
      'content-type': 'application/json',
    });
    expect(await attemptsOf('job-1')).toMatchObject([
      { number: 1, outcome: 'delivered', class: null, status: 200 },
    ]);
  });

  it('is not made for a job without a callback', async () => {
    const { consumer } = await start();
    expect(await consumer.handle([record('quiet', undefined)])).toEqual({ deadLetters: [] });
    expect(await rowOf('quiet')).toBeUndefined();
  });

  it('is tried again after a 500, with the same id and body and a new attempt', async () => {
    receiver.answer = (_, count, response) => {
      response.statusCode = count === 1 ? 500 : 200;
      response.end('why');
    };
    const { consumer } = await start();
    await consumer.handle([record('job-1', receiver.url('/hook'))]);
    expect(await ended('job-1')).toMatchObject({ state: 'delivered', attempts: 2 });
    const [first, second] = receiver.at('/hook');
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
    expect(second?.body).toBe(first?.body);
    expect(second?.headers['webhook-attempt']).toBe('2');
    const attempts = await attemptsOf('job-1');
    expect(attempts).toMatchObject([
      { number: 1, outcome: 'retry', class: 'server_error', status: 500 },
      { number: 2, outcome: 'delivered', status: 200 },
    ]);
    expect(attempts[0]?.body_excerpt.toString()).toBe('why');
  });

  it('that meets a closing connection is sent again as the same attempt', async () => {
    const kept = new WeakSet();
    let closings = 0;
    receiver.answer = (_, __, response) => {
      const { socket } = response.req;
      if (!kept.has(socket)) return void response.end('ok', () => kept.add(socket));
      closings += 1;
      socket.destroy();
    };
    const { consumer } = await start();
    let job = '';
    for (let turn = 1; closings === 0; turn += 1) {
      job = `job-${turn}`;
      await consumer.handle([record(job, receiver.url('/hook'))]);
      expect(await ended(job)).toMatchObject({ state: 'delivered', attempts: 1 });
    }
    const [cut, again] = receiver.received.slice(-2);
    const { connection: kind, ...sent } = cut?.headers ?? {};
    expect(kind).toBe('keep-alive');
    expect(sent['webhook-id']).toBe(webhookIdOf(`default:${job}:finished`));
    expect(again).toMatchObject({ headers: sent, body: cut?.body });
  });

  it('follows no redirect, and its record goes to the dead letters in the end', async () => {
    receiver.answer = (_, __, response) =>
      void response.writeHead(302, { location: receiver.url('/elsewhere') }).end();
    const { consumer } = await start({ scheduleMs: [0, 10] });
    const event = record('job-1', receiver.url('/hook'));
    await consumer.handle([event]);
    expect(await ended('job-1')).toMatchObject({
      state: 'dead',
      attempts: 2,
      code: 'delivery_exhausted',
    });
    expect(receiver.at('/elsewhere')).toEqual([]);
    const columns = 'id, topic, key, headers, value';
    const { rows } = await pool.query(`SELECT ${columns} FROM dispatcher.outbox`);
    expect(rows).toEqual([
      {
        id: 'jobs.finished.v1.dlq/default:job-1:finished',
        topic: 'jobs.finished.v1.dlq',
        key: 'job-1',
        value: event.value,
        headers: {
          ...event.headers,
          'dlq-reason': 'delivery_exhausted',
          'dlq-detail': 'Every delivery attempt failed',
          'dlq-topic': 'jobs.finished.v1',
          'dlq-partition': '0',
          'dlq-offset': event.offset,
          'dlq-service': 'webhook-dispatcher',
          'dlq-attempts': '2',
          'dlq-at': expect.stringMatching(/^2.*Z$/),
        },
      },
    ]);
  });

  it('that is given up again after a replay leaves no letter: it has no record', async () => {
    receiver.answer = (_, __, response) => void response.writeHead(500).end();
    const { consumer, queue } = await start({ scheduleMs: [0] });
    await consumer.handle([record('job-1', receiver.url('/hook'))]);
    await ended('job-1');
    await pool.query('DELETE FROM dispatcher.outbox');
    const apiUrl = database.url('webhook_dispatcher_api');
    const own = { url: apiUrl, max: 1, applicationName: 'spec', pipeline: true };
    const apiPool = createPool(own);
    const replays = new PostgresTenantDeliveries(new TenantDatabase(apiPool), codec);
    const id = deliveryIdSchema.parse(webhookIdOf('default:job-1:finished'));
    expect(await replays.replay('default', id)).toMatchObject({ kind: 'replayed' });
    await apiPool.end();
    queue.wake();
    const again = await until(() => rowOf('job-1'), (row) => row?.attempts === 2);
    expect(again).toMatchObject({ state: 'dead', owner: null });
    const { rows } = await pool.query('SELECT id FROM dispatcher.outbox');
    expect(rows).toEqual([]);
  });

  it('waits as long as Retry-After asks', async () => {
    receiver.answer = (_, count, response) => {
      if (count === 1) response.writeHead(429, { 'retry-after': '1' }).end();
      else response.end();
    };
    const { consumer } = await start({ scheduleMs: [0, 1] });
    await consumer.handle([record('job-1', receiver.url('/hook'))]);
    await ended('job-1');
    const [first, second] = receiver.at('/hook');
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(990);
  });

  it('stops on 410', async () => {
    receiver.answer = (_, __, response) => void response.writeHead(410).end();
    const { consumer } = await start();
    await consumer.handle([record('job-1', receiver.url('/hook'))]);
    expect(await ended('job-1')).toMatchObject({ state: 'stopped', code: 'delivery_stopped' });
    expect(receiver.at('/hook')).toHaveLength(1);
    const { rows } = await pool.query('SELECT id FROM dispatcher.outbox');
    expect(rows).toEqual([]);
  });

  it('is never sent to a blocked address, whatever the event says', async () => {
    const { consumer } = await start({ allowedCidrs: [] });
    await consumer.handle([
      record('job-1', receiver.url('/hook').replace('http:', 'https:')),
      record('job-2', 'nonsense'),
    ]);
    const dead = { state: 'dead', attempts: 1, code: 'blocked_address' };
    expect(await ended('job-1')).toMatchObject(dead);
    expect(await ended('job-2')).toMatchObject(dead);
    expect(receiver.received).toEqual([]);
  });

  it('waits for the secrets of its tenant, and counts no attempt meanwhile', async () => {
    const dispatcher = await start({}, false);
    await dispatcher.consumer.handle([record('job-1', receiver.url('/hook'))]);
    const putOff = () =>
      pool.query(
        "SELECT FROM dispatcher.deliveries WHERE state = 'waiting' AND not_before > now()",
      );
    await until(putOff, ({ rowCount }) => rowCount === 1);
    expect(await rowOf('job-1')).toMatchObject({ state: 'waiting', attempts: 0 });
    await putSecret(dispatcher, 'default');
    expect(await ended('job-1')).toMatchObject({ state: 'delivered', attempts: 1 });
  });

  it('that cannot be read from its row delays none that is claimed with it', async () => {
    const dispatcher = await start({}, false);
    const names = ['before', 'torn', 'after'];
    const records = names.map((name) => record(name, receiver.url(`/${name}`)));
    await dispatcher.consumer.handle(records);
    await dispatcher.consumer.handle(records);
    const putOff = (seconds: number) =>
      pool.query(
        `SELECT FROM dispatcher.deliveries
         WHERE state = 'waiting' AND not_before > now() + $1 * interval '1 s'`,
        [seconds],
      );
    await until(() => putOff(0), ({ rowCount }) => rowCount === 3);
    await pool.query(`UPDATE dispatcher.deliveries SET body = 'torn' WHERE job_id = 'torn'`);
    await putSecret(dispatcher, 'default');
    for (const name of ['before', 'after']) {
      expect(await ended(name)).toMatchObject({ state: 'delivered', attempts: 1 });
    }
    await until(() => putOff(30), ({ rowCount }) => rowCount === 1);
    expect(await rowOf('torn')).toMatchObject({ state: 'waiting', attempts: 0, owner: null });
    expect(receiver.at('/torn')).toEqual([]);
  });

  it('of others goes on while one receiver hangs', async () => {
    const other = await new Receiver().listen();
    receiver.answer = () => {};
    const { consumer } = await start({ slotsMax: 300, totalTimeoutMs: 60_000 });
    const sixty = Array.from({ length: 60 }, (_, i) => i);
    await consumer.handle(sixty.map((i) => record(`h-${i}`, receiver.url(`/${i}`))));
    await until(() => receiver.received.length, (count) => count === 50);
    await consumer.handle(sixty.map((i) => record(`l-${i}`, other.url(`/${i}`))));
    await until(() => other.received.length, (count) => count === 60);
    expect(receiver.received).toHaveLength(50);
    other.close();
  });

  it('moves up as soon as its own origin has room', async () => {
    const { consumer } = await start();
    const events = Array.from({ length: 30 }, (_, i) => record(`m-${i}`, receiver.url(`/${i}`)));
    const beganAtMs = Date.now();
    await consumer.handle(events);
    await until(() => receiver.received.length, (count) => count === 30);
    // Were it the poll that moved them, two a second, this would take 15 s.
    expect(Date.now() - beganAtMs).toBeLessThan(5_000);
  });

  it.each([20, 1_500])('is claimed in turn beside %i of another origin', async (backlog) => {
    await pool.query(
      `INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, state,
         not_before, record_topic, record_partition, record_offset, record_headers)
       SELECT origin || n, current_date, 't', 'j', 'u', origin, '', 'waiting',
         now() + later * interval '1 min', 'r', 0, 0, '{}'
       FROM (VALUES ('long', $1::int, -1), ('full', 5, -1), ('later', 5, 1))
         AS lane (origin, rows, later), generate_series(1, rows) AS n`,
      [backlog],
    );
    expect(await new PostgresLaneUpkeep(pool).wakeForgotten()).toBe(3);
    const { rows, nextDueInMs } = await new PostgresDeliveries(pool, codec).claim({
      owner: 'spec',
      limit: 10,
      busy: [{ tenant: 't', origin: 'full', room: 2 }],
      crowded: [],
      tenantMax: 50,
    });
    expect(rows.map(({ origin }) => origin).sort()).toEqual([
      ...Array.from({ length: 2 }, () => 'full'),
      ...Array.from({ length: 8 }, () => 'long'),
    ]);
    expect(nextDueInMs).toBeNull();
  });

  it('of a dead process is taken over after its lease, under the same id', async () => {
    const gone = await pool.query<{ id: string }>(
      `INSERT INTO dispatcher.processes (id, lease_until)
       VALUES ('gone', now() + interval '300 ms') RETURNING id`,
    );
    const dispatcher = await start({ leaseMs: 600 });
    await dispatcher.consumer.handle([record('job-0', receiver.url('/first'))]);
    await ended('job-0');
    await pool.query(
      `UPDATE dispatcher.deliveries SET state = 'sending', owner = $1, ended_at = NULL
       WHERE job_id = 'job-0'`,
      [gone.rows[0]?.id],
    );
    await ended('job-0');
    const [first, second] = receiver.at('/first');
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  });

  it('that its owner was given unawares is put back and sent; one under way is not', async () => {
    const ours = await start({ unheldAgeMs: 300, leaseMs: 1_000, totalTimeoutMs: 60_000 });
    await ours.consumer.handle([record('job-0', receiver.url('/lost'))]);
    await ended('job-0');
    receiver.answer = (path, _, response) => void (path === '/lost' && response.end());
    await ours.consumer.handle([record('job-1', receiver.url('/slow'))]);
    await until(() => receiver.at('/slow').length, (count) => count === 1);
    // As a claim leaves it whose answer was lost.
    await pool.query(
      `UPDATE dispatcher.deliveries
       SET state = 'sending', owner = $1, ended_at = NULL, not_before = now()
       WHERE job_id = 'job-0'`,
      [ours.queue.owner],
    );
    const givenAtMs = Date.now();
    await ended('job-0');
    expect(Date.now() - givenAtMs).toBeGreaterThanOrEqual(290);
    expect(receiver.at('/lost')).toHaveLength(2);
    expect(receiver.at('/slow')).toHaveLength(1);
    expect(await rowOf('job-1')).toMatchObject({ state: 'sending', owner: ours.queue.owner });
  });

  it('that is under way at a stop is given back, and another process sends it', async () => {
    receiver.answer = (_, count, response) => void (count > 1 && response.end());
    const stopping = await start({ totalTimeoutMs: 60_000 });
    await stopping.consumer.handle([record('job-1', receiver.url('/hook'))]);
    await until(() => receiver.received.length, (count) => count === 1);
    running.splice(running.indexOf(stopping), 1);
    await stopping.stop(50);
    expect(await rowOf('job-1')).toMatchObject({ state: 'waiting', attempts: 0 });
    await start();
    expect(await ended('job-1')).toMatchObject({ state: 'delivered', attempts: 1 });
  });

  it('is not made of a record that cannot be read, and the next one is not delayed', async () => {
    const { consumer } = await start();
    const bad = { ...record('job-0', receiver.url('/x')), value: Buffer.from('{') };
    const refused = record('job-1', `${receiver.url('/x')}\u0000`);
    const good = record('job-2', receiver.url('/hook'));
    expect(await consumer.handle([bad, refused, good])).toMatchObject({
      deadLetters: [
        { record: bad, code: 'malformed_json' },
        { record: refused, code: 'bad_row' },
      ],
    });
    expect(await ended('job-2')).toMatchObject({ state: 'delivered' });
  });
});
