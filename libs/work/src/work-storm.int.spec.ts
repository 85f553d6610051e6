import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, expect, it, jest } from '@jest/globals';
import { createPool, type Pool } from '@millrace/postgres';
import { ChildProgram, createTestDatabase, type TestDatabase } from '@millrace/testing';

jest.setTimeout(30_000);

const hourMs = 3_600_000;
const directory = mkdtempSync(join(tmpdir(), 'millrace-storm-'));
const logFile = join(directory, 'runs.log');
let database: TestDatabase;
let pool: Pool;
let processes: ChildProgram[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 2, applicationName: 'storm-spec' });
  await pool.query(`
    CREATE SCHEMA storm;
    CREATE TABLE storm.processes (LIKE worker.processes INCLUDING ALL);
    CREATE TABLE storm.tasks (
      id text PRIMARY KEY, status text NOT NULL DEFAULT 'waiting', owner text,
      attempt int NOT NULL DEFAULT 0, settled int NOT NULL DEFAULT 0, reaped int NOT NULL DEFAULT 0,
      not_before timestamptz NOT NULL DEFAULT '-infinity', done_at timestamptz, note text
    );`);
});
beforeEach(async () => {
  writeFileSync(logFile, '');
  await pool.query('TRUNCATE storm.tasks, storm.processes');
});
afterEach(async () => {
  await Promise.all(processes.map((child) => child.kill()));
  processes = [];
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await pool.end();
  await database.drop();
});

interface TaskRow {
  readonly id: string;
  readonly status: string;
  readonly attempt: number;
  readonly settled: number;
  readonly reaped: number;
  readonly note: string;
  readonly early: boolean;
}

interface ProcessOptions {
  /** How wrong its clock is: at first, and after each SIGUSR2. */
  readonly clockOffsetsMs?: readonly number[];
  readonly runMs?: number;
  readonly leaseMs?: number;
}

function begin(options: ProcessOptions = {}): ChildProgram {
  const { clockOffsetsMs = [0], runMs = 5, leaseMs = 1_500 } = options;
  const file = join(import.meta.dirname, 'storm-process.fixture.ts');
  const args = [database.adminUrl, logFile, ...[clockOffsetsMs, runMs, leaseMs].map(String)];
  const child = ChildProgram.start(file, args);
  processes.push(child);
  return child;
}

async function insert(count: number, notBeforeMs = 0): Promise<void> {
  await pool.query(
    `INSERT INTO storm.tasks (id, not_before)
     SELECT 't' || n, clock_timestamp() + $2::int * interval '1 ms' FROM generate_series(1, $1) n`,
    [count, notBeforeMs],
  );
}

async function tasks(): Promise<TaskRow[]> {
  const { rows } = await pool.query<TaskRow>(
    'SELECT *, done_at < not_before AS early FROM storm.tasks ORDER BY id',
  );
  return rows;
}

const runs = (): string[] => readFileSync(logFile, 'utf8').split('\n').slice(0, -1);
const pidsOfRuns = (): Set<string> => new Set(runs().map((line) => line.split(' ')[2] ?? ''));

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}

const allDone = async (): Promise<boolean> =>
  (await tasks()).every(({ status }) => status === 'done');

it('eight processes, their clocks hours apart, run each of 2,000 rows once', async () => {
  await insert(2_000, 4_000);
  // A lease that eight busy processes on few cores do not lose: one lost may run rows again.
  const leaseMs = 15_000;
  for (let n = 0; n < 8; n += 1) begin({ clockOffsetsMs: [((n % 3) - 1) * hourMs], leaseMs });
  await until(allDone);
  expect(runs()).toHaveLength(2_000);
  expect(new Set(runs().map((line) => line.split(' ')[0])).size).toBe(2_000);
  const rows = await tasks();
  expect(rows.filter((row) => row.settled !== 1 || row.reaped !== 0 || row.early)).toEqual([]);
  expect(pidsOfRuns().size).toBeGreaterThan(1);
});

it('clocks that are set while leases and waits run end no lease and no wait early', async () => {
  await insert(300);
  const clockOffsetsMs = [hourMs, -hourMs, 5 * hourMs, 0];
  const leaseMs = 8_000;
  const steady = [0, 1, 2].map(() => begin({ clockOffsetsMs, leaseMs, runMs: 500 }));
  // Who has run something hears the signal by now.
  const heard = (): boolean => steady.every(({ pid }) => pidsOfRuns().has(String(pid)));
  await until(heard);
  const stepping = setInterval(() => steady.forEach((child) => child.signal('SIGUSR2')), 100);
  try {
    await pool.query(
      `INSERT INTO storm.tasks (id, not_before)
       SELECT 'late' || n, clock_timestamp() + interval '2 s' FROM generate_series(1, 100) n`,
    );
    await until(allDone);
  } finally {
    clearInterval(stepping);
  }
  expect(runs()).toHaveLength(400);
  const rows = await tasks();
  expect(rows.filter((row) => row.settled !== 1 || row.reaped !== 0 || row.early)).toEqual([]);
  expect(await owners()).toBe(steady.length);
});

it('after a kill only what was in flight runs again, and four reapers free it once', async () => {
  await insert(400);
  const doomed = begin({ runMs: 60_000 });
  await until(() => runs().length === 25);
  for (let n = 0; n < 4; n += 1) begin();
  await until(() => pidsOfRuns().size > 1);
  await doomed.kill();
  await until(allDone);
  const rows = await tasks();
  expect(rows.filter(({ settled }) => settled !== 1)).toEqual([]);
  expect(rows.filter(({ attempt }) => attempt === 2)).toHaveLength(25);
  expect(rows.every(({ attempt, reaped }) => reaped === attempt - 1)).toBe(true);
  expect(runs()).toHaveLength(425);
});

it('a process that slept through its lease changes nothing when it wakes', async () => {
  await insert(25);
  const zombie = begin({ runMs: 800 });
  await until(() => runs().length === 25);
  zombie.signal('SIGSTOP');
  const heir = begin({ runMs: 10 });
  await until(allDone);
  const before = await tasks();
  const ownersBefore = await owners();
  zombie.signal('SIGCONT');
  // It has lost its lease by its own clock: it comes back as a new owner.
  await until(async () => (await owners()) > ownersBefore);
  // Whatever it still meant to write of its old rows, it has sent before it settles a new one.
  await heir.kill();
  await pool.query("INSERT INTO storm.tasks (id) VALUES ('new')");
  await until(allDone);
  expect((await tasks()).filter(({ id }) => id !== 'new')).toEqual(before);
  expect(before.every(({ note, settled }) => note === String(heir.pid) && settled === 1)).toBe(
    true,
  );
});

async function owners(): Promise<number> {
  const { rowCount } = await pool.query('SELECT FROM storm.processes');
  return rowCount ?? 0;
}
