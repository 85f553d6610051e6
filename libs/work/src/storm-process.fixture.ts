import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { createPool } from '@millrace/postgres';
import { setClockWrong } from '@millrace/testing';

import { WorkQueue } from './index.ts';

/**
 * One process of the storm: `node storm-process.fixture.ts URL LOG CLOCK_OFFSETS RUN_MS LEASE_MS`.
 * It logs each run that begins, and goes on until it is killed. Its clock is wrong by the first of
 * the offsets, and by the next with each SIGUSR2.
 */
const [url = '', logFile = '', clockOffsets = '0', runMs = '5', leaseMs = '1500'] =
  process.argv.slice(2);
setClockWrong(clockOffsets.split(',').map(Number));

interface Task {
  readonly id: string;
  readonly attempt: number;
}

const pool = createPool({ url, max: 3, applicationName: 'storm' });
const ignore = (): void => undefined;
const queue = new WorkQueue<Task, string>({
  name: 'storm',
  schema: 'storm',
  pool,
  slotsMax: 25,
  leaseMs: Number(leaseMs),
  heartbeatEveryMs: 200,
  pollEveryMs: 200,
  log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
  policy: {
    run: async (row) => {
      appendFileSync(logFile, `${row.id} ${row.attempt} ${process.pid}\n`);
      await sleep(Number(runMs));
      return String(process.pid);
    },
    claim: async ({ owner, limit }) => {
      const { rows } = await pool.query<Task>(
        `UPDATE storm.tasks SET status = 'running', owner = $1, attempt = attempt + 1
         WHERE id IN (SELECT id FROM storm.tasks
           WHERE status = 'waiting' AND not_before <= clock_timestamp()
           ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING id, attempt`,
        [owner, limit],
      );
      return { rows, nextDueInMs: null };
    },
    crashed: (_row, error) => String(error),
    settle: async (row, outcome) => {
      await pool.query(
        `UPDATE storm.tasks SET status = 'done', note = $3, owner = NULL,
           settled = settled + 1, done_at = clock_timestamp()
         WHERE id = $1 AND attempt = $2 AND status = 'running'`,
        [row.id, row.attempt, outcome],
      );
      return 'ended';
    },
    cancelRequested: () => Promise.resolve([]),
    reap: async (deadOwners) => {
      const { rowCount } = await pool.query(
        `UPDATE storm.tasks SET status = 'waiting', owner = NULL, reaped = reaped + 1
         WHERE owner = ANY($1::text[])`,
        [deadOwners],
      );
      return rowCount ?? 0;
    },
    releaseUnheld: () => Promise.resolve(0),
  },
});
await queue.start();
