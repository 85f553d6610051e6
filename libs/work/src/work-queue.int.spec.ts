import { setTimeout as sleep } from 'node:timers/promises';

import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  jest,
} from '@jest/globals';
import { BadRowError, createPool, GroupCommit, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { settledLookMs } from './core/claim-schedule.ts';
import {
  LeaseLost,
  WorkCancelled,
  WorkQueue,
  WorkStopped,
  type WorkEvent,
  type WorkPolicy,
} from './index.ts';

jest.setTimeout(30_000);

const leaseMs = 400;

interface Task {
  readonly id: string;
  readonly attempt: number;
}
type Outcome =
  | { readonly kind: 'done'; readonly note: string }
  | { readonly kind: 'again'; readonly afterMs: number };

let database: TestDatabase;
let pool: Pool;
let queues: WorkQueue<Task, Outcome>[] = [];
let pools: Pool[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 8, applicationName: 'work-spec' });
  await pool.query(`
    CREATE SCHEMA tasks;
    CREATE TABLE tasks.processes (LIKE worker.processes INCLUDING ALL);
    CREATE TABLE tasks.tasks (
      id text PRIMARY KEY,
      status text NOT NULL DEFAULT 'waiting',
      owner text,
      attempt int NOT NULL DEFAULT 0,
      not_before timestamptz NOT NULL DEFAULT '-infinity',
      given_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      cancel boolean NOT NULL DEFAULT false,
      note text,
      claims text[] NOT NULL DEFAULT '{}'
    );`);
});
beforeEach(() => pool.query('TRUNCATE tasks.tasks, tasks.processes'));
afterEach(async () => {
  await Promise.all(queues.map((queue) => queue.stop({ deadlineMs: 0 })));
  await Promise.all(pools.map((one) => one.end()));
  queues = [];
  pools = [];
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** A policy as an app writes one: every write fenced by the owner. */
function taskPolicy(
  run: WorkPolicy<Task, Outcome>['run'],
  own: Pool = pool,
): WorkPolicy<Task, Outcome> {
  const settlements = new GroupCommit<{ row: Task; outcome: Outcome }, void>({
    name: 'tasks',
    pool: own,
    keyOf: ({ row }) => row.id,
    commit: async (client, items) => {
      await client.query(
        `UPDATE tasks.tasks AS t SET
           status = CASE WHEN s.after_ms IS NULL THEN 'done' ELSE 'waiting' END,
           note = s.note, owner = NULL,
           not_before = clock_timestamp() + coalesce(s.after_ms, 0) * interval '1 ms'
         FROM unnest($1::text[], $2::int[], $3::text[], $4::int[])
           AS s (id, attempt, note, after_ms)
         WHERE t.id = s.id AND t.attempt = s.attempt AND t.status = 'running'`,
        [
          items.map(({ row }) => row.id),
          items.map(({ row }) => row.attempt),
          items.map(({ outcome }) => (outcome.kind === 'done' ? outcome.note : null)),
          items.map(({ outcome }) => (outcome.kind === 'again' ? outcome.afterMs : null)),
        ],
      );
      return items.map(() => undefined);
    },
  });
  return {
    run,
    claim: async ({ owner, limit }) => {
      const { rows } = await own.query<Task>(
        `UPDATE tasks.tasks SET status = 'running', owner = $1, attempt = attempt + 1,
           given_at = clock_timestamp(), claims = array_append(claims, $1)
         WHERE id IN (SELECT id FROM tasks.tasks
           WHERE status = 'waiting' AND not_before <= clock_timestamp()
           ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING id, attempt`,
        [owner, limit],
      );
      const due = await own.query<{ ms: number | null }>(
        `SELECT (extract(epoch FROM min(not_before) - clock_timestamp()) * 1000)::float8 AS ms
         FROM tasks.tasks WHERE status = 'waiting' AND not_before > clock_timestamp()`,
      );
      return { rows, nextDueInMs: due.rows[0]?.ms ?? null };
    },
    crashed: (_row, error) => ({
      kind: 'done',
      note: error instanceof BadRowError ? `refused ${error.sqlState}` : 'crashed',
    }),
    settle: async (row, outcome) => {
      await settlements.submit({ row, outcome });
      return outcome.kind === 'again' ? 'waits' : 'ended';
    },
    expire: async (owner) => {
      const { rowCount } = await own.query(
        `UPDATE tasks.tasks SET status = 'done', note = 'expired', claims = array_append(claims, $1)
         WHERE status = 'waiting' AND id LIKE 'brief%'`,
        [owner],
      );
      return rowCount ?? 0;
    },
    cancelRequested: async (owner) => {
      const { rows } = await own.query<{ id: string }>(
        'SELECT id FROM tasks.tasks WHERE owner = $1 AND cancel',
        [owner],
      );
      return rows.map(({ id }) => id);
    },
    reap: async (deadOwners) => {
      const { rowCount } = await own.query(
        `UPDATE tasks.tasks SET status = 'waiting', owner = NULL WHERE owner = ANY($1::text[])`,
        [deadOwners],
      );
      return rowCount ?? 0;
    },
    releaseUnheld: async ({ owner, held, ageMs }) => {
      const { rowCount } = await own.query(
        `UPDATE tasks.tasks SET status = 'waiting', owner = NULL
         WHERE owner = $1 AND id <> ALL ($2::text[])
           AND given_at < clock_timestamp() - $3 * interval '1 ms'`,
        [owner, held(), ageMs],
      );
      return rowCount ?? 0;
    },
  };
}

interface QueueOptions {
  readonly run: WorkPolicy<Task, Outcome>['run'];
  readonly slotsMax?: number;
  readonly pollEveryMs?: number;
  readonly heartbeatEveryMs?: number;
  readonly unheldAgeMs?: number;
  readonly pool?: Pool;
  readonly onClaimed?: (row: Task) => void;
  /** Until the answer to a settlement arrives, which is written at once. */
  readonly settlementHeard?: (row: Task) => Promise<void>;
}

function queueOf(options: QueueOptions) {
  const events: WorkEvent[] = [];
  const { run, pool: own = pool, onClaimed, settlementHeard, ...rest } = options;
  const policy = taskPolicy(run, own);
  const silent = (): void => undefined;
  const queue = new WorkQueue<Task, Outcome>({
    name: 'tasks',
    schema: 'tasks',
    pool: own,
    policy: {
      ...policy,
      claim: async (options) => {
        const claimed = await policy.claim(options);
        for (const row of claimed.rows) onClaimed?.(row);
        return claimed;
      },
      settle: async (row, outcome) => {
        const settled = await policy.settle(row, outcome);
        await settlementHeard?.(row);
        return settled;
      },
    },
    slotsMax: 50,
    leaseMs,
    heartbeatEveryMs: 50,
    pollEveryMs: 60_000,
    log: { debug: silent, info: silent, warn: silent, error: silent },
    onEvent: (event) => events.push(event),
    ...rest,
  });
  queues.push(queue);
  return { queue, events };
}

/** A pool of its own, whose connections a spec may break. */
function poolOfItsOwn(): Pool {
  const own = createPool({ url: database.adminUrl, max: 4, applicationName: 'doomed' });
  pools.push(own);
  return own;
}

async function insert(ids: readonly string[], notBeforeMs = 0): Promise<void> {
  await pool.query(
    `INSERT INTO tasks.tasks (id, not_before)
     SELECT unnest($1::text[]), clock_timestamp() + $2::int * interval '1 ms'`,
    [ids, notBeforeMs],
  );
}

async function tasks(): Promise<{ id: string; status: string; note: string; claims: string[] }[]> {
  const { rows } = await pool.query<{
    id: string;
    status: string;
    note: string;
    claims: string[];
  }>('SELECT id, status, note, claims FROM tasks.tasks ORDER BY id');
  return rows;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 800; i += 1) {
    if (await condition()) return;
    await sleep(10);
  }
  throw new Error('the condition never came true');
}

async function allDone(): Promise<boolean> {
  return (await tasks()).every(({ status }) => status === 'done');
}

function untilAborted(signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    const end = (): void => resolve({ kind: 'done', note: String(signal.reason) });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });
}

const quick = (): Promise<Outcome> => Promise.resolve({ kind: 'done', note: 'ok' });
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `t${1000 + i}`);

describe('WorkQueue', () => {
  it('ends what has waited too long with its heartbeat, also when no slot is free', async () => {
    const run = (_row: Task, signal: AbortSignal): Promise<Outcome> => untilAborted(signal);
    await insert(['t1']);
    const { queue } = queueOf({ run, slotsMax: 1 });
    await queue.start();
    await until(() => queue.inFlight === 1);
    await insert(['brief']);
    await until(async () => (await tasks()).some(({ note }) => note === 'expired'));
    expect(queue.inFlight).toBe(1);
    expect(await tasks()).toMatchObject([{ id: 'brief', claims: [queue.owner] }, { id: 't1' }]);
  });

  it('two queues share the rows, and never run one twice', async () => {
    await insert(names(200));
    const runs: string[] = [];
    let running = 0;
    let runningMax = 0;
    const run = async (row: Task): Promise<Outcome> => {
      runs.push(row.id);
      running += 1;
      runningMax = Math.max(runningMax, running);
      await sleep(5);
      running -= 1;
      return { kind: 'done', note: 'ok' };
    };
    const both = [queueOf({ run, slotsMax: 20 }), queueOf({ run, slotsMax: 20 })];
    await Promise.all(both.map(({ queue }) => queue.start()));
    await until(allDone);
    expect(runs.sort()).toEqual(names(200));
    expect(runningMax).toBeLessThanOrEqual(40);
    const owners = new Set((await tasks()).flatMap(({ claims }) => claims));
    expect(owners).toEqual(new Set(both.map(({ queue }) => queue.owner)));
  });

  it('runs what a dead process held, after its lease, and forgets the process later', async () => {
    const doomed = createPool({ url: database.adminUrl, max: 4, applicationName: 'doomed' });
    await insert(names(10));
    const dead = queueOf({ run: aborted, pool: doomed });
    await dead.queue.start();
    await until(() => dead.queue.inFlight === 10);
    const deadOwner = dead.queue.owner;
    const alive = queueOf({ run: quick });
    await alive.queue.start();
    // From here on it is as good as dead: it renews, settles and signs off nothing.
    await doomed.end();
    await until(allDone);
    expect(new Set((await tasks()).map(({ note }) => note))).toEqual(new Set(['ok']));
    expect(alive.events.filter(({ type }) => type === 'reaped')).toMatchObject([{ rows: 10 }]);
    const known = async (): Promise<boolean> => {
      const { rowCount } = await pool.query('SELECT FROM tasks.processes WHERE id = $1', [
        deadOwner,
      ]);
      return rowCount === 1;
    };
    expect(await known()).toBe(true);
    await pool.query(
      "UPDATE tasks.processes SET lease_until = now() - interval '1 hour' WHERE id = $1",
      [deadOwner],
    );
    await until(async () => !(await known()));
  });

  it('a lost lease aborts every run, settles none, and a new owner goes on', async () => {
    await insert(['a']);
    const reasons: unknown[] = [];
    const { queue, events } = queueOf({
      run: async (row, signal) => {
        if (row.attempt > 1) return { kind: 'done', note: `attempt ${row.attempt}` };
        const outcome = await untilAborted(signal);
        reasons.push(signal.reason);
        return outcome;
      },
    });
    await queue.start();
    await until(() => queue.inFlight === 1);
    const before = queue.owner;
    await pool.query("UPDATE tasks.processes SET lease_until = now() - interval '1 s'");
    await until(allDone);
    expect(reasons).toEqual([expect.any(LeaseLost)]);
    expect(await tasks()).toMatchObject([{ note: 'attempt 2', claims: [before, queue.owner] }]);
    expect(queue.owner).not.toBe(before);
    expect(events.filter(({ type }) => type === 'dropped')).toHaveLength(1);
  });

  it('aborts by its own clock when Postgres does not answer for a whole lease', async () => {
    const own = poolOfItsOwn();
    await insert(['a']);
    let reason: unknown;
    const { queue } = queueOf({
      pool: own,
      run: async (_row, signal) => {
        const outcome = await untilAborted(signal);
        reason = signal.reason;
        return outcome;
      },
    });
    await queue.start();
    await until(() => queue.inFlight === 1);
    const before = queue.owner;
    // The heartbeat waits for this lock, on a server that is up.
    const blocker = await pool.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE tasks.processes IN ACCESS EXCLUSIVE MODE');
    await until(() => reason !== undefined);
    expect(reason).toBeInstanceOf(LeaseLost);
    await blocker.query('ROLLBACK');
    blocker.release();
    await until(() => queue.owner !== before);
  });

  describe('in a process that was stopped for longer than its lease', () => {
    /** What is heard next is heard before any timer, as after a SIGCONT. */
    const sleepPastLease = (): void => {
      const wakesAtMs = performance.now() + leaseMs;
      while (performance.now() < wakesAtMs);
    };

    it('runs nothing of what it was given meanwhile', async () => {
      await insert(['a']);
      const runs: string[] = [];
      const { queue } = queueOf({
        run: (row, signal) => {
          runs.push(`attempt ${row.attempt}, ${signal.aborted ? 'aborted' : 'held'}`);
          return quick();
        },
        onClaimed: (row) => row.attempt === 1 && sleepPastLease(),
      });
      await queue.start();
      await until(allDone);
      expect(runs).toEqual(['attempt 2, held']);
    });

    it('hears of it in a run that asks', async () => {
      await insert(['a']);
      const heard: unknown[] = [];
      const { queue } = queueOf({
        run: async (row, signal, checkLease) => {
          if (row.attempt > 1) return quick();
          await pool.query('SELECT 1');
          sleepPastLease();
          heard.push(signal.reason);
          checkLease();
          heard.push(signal.reason);
          return quick();
        },
      });
      await queue.start();
      await until(allDone);
      expect(heard).toEqual([undefined, expect.any(LeaseLost)]);
      expect(await tasks()).toMatchObject([{ claims: [expect.any(String), queue.owner] }]);
    });
  });

  it('brings a cancel flag to the run', async () => {
    await insert(['a', 'b']);
    const { queue } = queueOf({ run: aborted });
    await queue.start();
    await until(() => queue.inFlight === 2);
    await pool.query("UPDATE tasks.tasks SET cancel = true WHERE id = 'b'");
    await until(() => queue.inFlight === 1);
    expect(await tasks()).toMatchObject([
      { id: 'a', status: 'running' },
      { id: 'b', status: 'done', note: String(new WorkCancelled()) },
    ]);
  });

  it('runs a row when it falls due, not before, and without polling', async () => {
    await insert(['later'], 300);
    const insertedAtMs = performance.now();
    let startedAtMs = 0;
    const { queue, events } = queueOf({
      run: () => {
        startedAtMs = performance.now();
        return quick();
      },
    });
    await queue.start();
    await until(allDone);
    expect(startedAtMs - insertedAtMs).toBeGreaterThan(280);
    expect(startedAtMs - insertedAtMs).toBeLessThan(500);
    expect(events.filter(({ type }) => type === 'claimed').length).toBeLessThanOrEqual(5);
  });

  it('retries by a row with not_before', async () => {
    await insert(['a']);
    const startsAtMs: number[] = [];
    const { queue } = queueOf({
      run: (row) => {
        startsAtMs.push(performance.now());
        return row.attempt < 3
          ? Promise.resolve<Outcome>({ kind: 'again', afterMs: 150 })
          : quick();
      },
    });
    await queue.start();
    await until(allDone);
    const [first = 0, second = 0, third = 0] = startsAtMs;
    for (const gapMs of [second - first, third - second]) {
      expect(gapMs).toBeGreaterThanOrEqual(145);
      expect(gapMs).toBeLessThan(400);
    }
  });

  it('runs the next rows while others are being settled, up to as many again', async () => {
    const ids = names(9);
    await insert(ids);
    const heard = Promise.withResolvers<void>();
    const heldAtRun: number[] = [];
    const { queue } = queueOf({
      slotsMax: 2,
      run: () => {
        heldAtRun.push(queue.inFlight);
        return quick();
      },
      settlementHeard: () => heard.promise,
    });
    await queue.start();
    await until(() => heldAtRun.length === 4);
    expect(queue.inFlight).toBe(4);
    // The third claim has no slot: it is not made before a settlement was heard of.
    await sleep(leaseMs);
    expect(heldAtRun).toHaveLength(4);
    heard.resolve();
    await until(allDone);
    expect(heldAtRun).toHaveLength(ids.length);
    expect(Math.max(...heldAtRun)).toBeLessThanOrEqual(4);
  });

  it('asks again for what may be due only when a row waits for its next turn', async () => {
    await insert(['a']);
    const { queue, events } = queueOf({ run: quick });
    await queue.start();
    await until(() => events.some(({ type }) => type === 'settled'));
    const claims = (): number => events.filter(({ type }) => type === 'claimed').length;
    const before = claims();
    await sleep(2 * settledLookMs);
    expect(claims()).toBe(before);
  });

  describe('a row that is claimed again before its settlement was heard of', () => {
    /** Runs its rows for a second time when `hear` was called, and not before. */
    async function keptRow(options: Partial<QueueOptions> = {}) {
      await insert(['a']);
      const runs: number[] = [];
      let hear: () => void = () => undefined;
      const heard = new Promise<void>((resolve) => {
        hear = resolve;
      });
      const made = queueOf({
        slotsMax: 1,
        pollEveryMs: 20,
        run: ({ attempt }) => {
          runs.push(attempt);
          return attempt === 1
            ? Promise.resolve<Outcome>({ kind: 'again', afterMs: 0 })
            : quick();
        },
        settlementHeard: ({ attempt }) => (attempt === 1 ? heard : Promise.resolve()),
        ...options,
      });
      await made.queue.start();
      await until(() => made.queue.inFlight === 2);
      return { ...made, runs, hear };
    }

    it('waits for that in its slot, and runs at once then', async () => {
      const { queue, runs, hear } = await keptRow({ unheldAgeMs: 1 });
      await insert(['b']);
      queue.wake();
      // Longer than the sweep of rows that are not held takes to come by.
      await sleep(leaseMs);
      expect(runs).toEqual([1]);
      expect(queue.inFlight).toBe(2);
      expect((await tasks()).map(({ status }) => status)).toEqual(['running', 'waiting']);
      hear();
      await until(allDone);
      expect(runs).toEqual([1, 2, 1, 2]);
      expect(await tasks()).toMatchObject([{ claims: [queue.owner, queue.owner] }, { id: 'b' }]);
    });

    it('is cancelled like any other', async () => {
      const reasons: unknown[] = [];
      const { hear } = await keptRow({
        run: async ({ attempt }, signal) => {
          if (attempt === 1) return { kind: 'again', afterMs: 0 };
          const outcome = await untilAborted(signal);
          reasons.push(signal.reason);
          return outcome;
        },
      });
      await pool.query('UPDATE tasks.tasks SET cancel = true');
      hear();
      await until(allDone);
      expect(reasons).toEqual([expect.any(WorkCancelled)]);
    });

    it('runs for its next owner when the lease was lost meanwhile', async () => {
      const { queue, runs, hear } = await keptRow();
      const before = queue.owner;
      await pool.query("UPDATE tasks.processes SET lease_until = now() - interval '1 s'");
      await until(allDone);
      expect(queue.inFlight).toBe(1);
      hear();
      await until(() => queue.inFlight === 0);
      expect(runs).toEqual([1, 3]);
      expect(await tasks()).toMatchObject([{ claims: [before, before, queue.owner] }]);
    });

    it('ends with a stop in time, unheard or heard', async () => {
      for (const isHeard of [false, true]) {
        await pool.query('TRUNCATE tasks.tasks');
        const { queue, runs, hear } = await keptRow();
        const stopped = queue.stop({ deadlineMs: 200, settleMs: 100 });
        if (isHeard) hear();
        await stopped;
        expect(runs).toEqual(isHeard ? [1, 2] : [1]);
        hear();
        await until(() => queue.inFlight === 0);
        expect(runs).toEqual(isHeard ? [1, 2] : [1]);
      }
    });
  });

  it('wakes for new rows at once', async () => {
    const { queue } = queueOf({ run: quick });
    await queue.start();
    await insert(['new']);
    const wokenAtMs = performance.now();
    queue.wake();
    await until(allDone);
    expect(performance.now() - wokenAtMs).toBeLessThan(300);
  });

  it('a throw of a run, and an outcome that Postgres refuses, are settled as crashed', async () => {
    await insert(['bug', 'zero']);
    const { queue } = queueOf({
      run: (row) => {
        if (row.id === 'bug') throw new TypeError('a bug');
        return Promise.resolve<Outcome>({ kind: 'done', note: 'a\u0000b' });
      },
    });
    await queue.start();
    await until(allDone);
    expect(await tasks()).toMatchObject([{ note: 'crashed' }, { note: 'refused 22021' }]);
  });

  it('settles again while Postgres is away', async () => {
    const own = poolOfItsOwn();
    await insert(['a']);
    const { queue } = queueOf({
      pool: own,
      run: async () => {
        await pool.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE application_name = 'doomed' AND datname = current_database()`,
        );
        return { kind: 'done', note: 'ok' };
      },
    });
    await queue.start();
    await until(allDone);
    expect(await tasks()).toMatchObject([{ note: 'ok' }]);
  });

  describe('reserve', () => {
    async function settledQueue(options: QueueOptions) {
      const made = queueOf(options);
      await made.queue.start();
      await until(() => grants(made.queue));
      return made;
    }

    function grants(queue: WorkQueue<Task, Outcome>): boolean {
      const reservation = queue.reserve(1);
      reservation.release();
      return reservation.granted === 1;
    }

    async function insertClaimed(ids: readonly string[], owner: string): Promise<Task[]> {
      const { rows } = await pool.query<Task>(
        `INSERT INTO tasks.tasks (id, status, owner, attempt)
         SELECT unnest($1::text[]), 'running', $2, 1 ON CONFLICT DO NOTHING RETURNING id, attempt`,
        [ids, owner],
      );
      return rows;
    }

    it('runs rows that were inserted as claimed, without a claim', async () => {
      const { queue, events } = await settledQueue({ run: quick, slotsMax: 4 });
      await insert(['known']);
      const reservation = queue.reserve(10);
      expect(reservation.granted).toBe(4);
      expect(queue.reserve(1).granted).toBe(0);
      reservation.start(await insertClaimed(['known', 'a', 'b'], reservation.owner));
      reservation.release();
      await until(() => queue.inFlight === 0);
      const again = queue.reserve(10);
      expect(again.granted).toBe(4);
      again.release();
      const started = events.filter(({ type }) => type === 'started');
      expect(started[0]).toEqual({ type: 'started', rows: 2, via: 'insert' });
    });

    it('grants nothing while rows are waiting, before the start, and after the stop', async () => {
      const unstarted = queueOf({ run: quick });
      expect(unstarted.queue.reserve(1).granted).toBe(0);
      const { queue } = await settledQueue({ run: aborted, slotsMax: 4 });
      await insert(names(5));
      queue.wake();
      await until(() => queue.inFlight === 4);
      expect(queue.reserve(1).granted).toBe(0);
      await queue.stop({ deadlineMs: 0 });
      expect(queue.reserve(1).granted).toBe(0);
    });

    it('rows of a reservation whose lease was lost meanwhile are reaped, not run', async () => {
      const { queue } = await settledQueue({ run: quick });
      const reservation = queue.reserve(1);
      await pool.query("UPDATE tasks.processes SET lease_until = now() - interval '1 s'");
      await until(() => !grants(queue));
      expect(queue.owner).toBe(reservation.owner);
      const rows = await insertClaimed(['late'], queue.owner);
      reservation.start(rows);
      reservation.release();
      await until(allDone);
      const [late] = await tasks();
      expect(late?.claims).toEqual([queue.owner]);
      expect(queue.owner).not.toBe(reservation.owner);
    });
  });

  describe('stop', () => {
    const leases = async (): Promise<number> => {
      const { rowCount } = await pool.query(
        'SELECT FROM tasks.processes WHERE lease_until > clock_timestamp()',
      );
      return rowCount ?? 0;
    };

    it('lets running rows end, claims nothing more, and signs off', async () => {
      await insert(['a', 'b']);
      let finish: () => void = () => undefined;
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const { queue } = queueOf({ run: () => finished.then(quick), slotsMax: 1 });
      await queue.start();
      await until(() => queue.inFlight === 1);
      const stopped = queue.stop({ deadlineMs: 5_000 });
      finish();
      await stopped;
      expect((await tasks()).map(({ status }) => status)).toEqual(['done', 'waiting']);
      expect(await leases()).toBe(0);
    });

    it('aborts what runs at the deadline and settles it', async () => {
      await insert(['a']);
      const { queue } = queueOf({ run: aborted });
      await queue.start();
      await until(() => queue.inFlight === 1);
      await queue.stop({ deadlineMs: 50 });
      expect(await tasks()).toMatchObject([{ status: 'done', note: String(new WorkStopped()) }]);
      expect(await leases()).toBe(0);
    });

    it('what it owns without knowing it runs after a while, but not what runs', async () => {
      await insert(['running']);
      let runs = 0;
      const { queue } = queueOf({
        unheldAgeMs: 300,
        run: (row) => {
          runs += 1;
          return row.id === 'running' ? new Promise(() => undefined) : quick();
        },
      });
      await queue.start();
      await until(() => queue.inFlight === 1);
      await pool.query(
        "INSERT INTO tasks.tasks (id, status, owner, attempt) VALUES ('lost', 'running', $1, 1)",
        [queue.owner],
      );
      await until(async () => (await tasks()).some(({ status }) => status === 'done'));
      expect(runs).toBe(2);
    });

    it('what it owns without knowing is reaped at once', async () => {
      const { queue } = queueOf({ run: quick });
      await queue.start();
      // An insert as claimed whose answer was lost.
      await pool.query(
        "INSERT INTO tasks.tasks (id, status, owner, attempt) VALUES ('a', 'running', $1, 1)",
        [queue.owner],
      );
      await queue.stop({ deadlineMs: 100 });
      const heir = queueOf({ run: quick });
      await heir.queue.start();
      await until(allDone);
    });

    it('takes no longer than it was given, although a run does not end', async () => {
      await insert(['a']);
      const { queue } = queueOf({ run: () => new Promise(() => undefined) });
      await queue.start();
      await until(() => queue.inFlight === 1);
      const beganAtMs = performance.now();
      await queue.stop({ deadlineMs: 50, settleMs: 100 });
      expect(performance.now() - beganAtMs).toBeLessThan(1_000);
      expect(await leases()).toBe(0);
    });

    it('leaves what does not end to be reaped at once', async () => {
      await insert(['a']);
      let hang = true;
      const run = (): Promise<Outcome> => (hang ? new Promise(() => undefined) : quick());
      const { queue } = queueOf({ run });
      await queue.start();
      await until(() => queue.inFlight === 1);
      await queue.stop({ deadlineMs: 0 });
      hang = false;
      const heir = queueOf({ run });
      await heir.queue.start();
      await until(allDone);
      const claims = [queue.owner, heir.queue.owner];
      expect(await tasks()).toMatchObject([{ note: 'ok', claims }]);
    });
  });
});

function aborted(_row: Task, signal: AbortSignal): Promise<Outcome> {
  return untilAborted(signal);
}
