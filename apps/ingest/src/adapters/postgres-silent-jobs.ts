import type { OutgoingMessage, PayloadCodec } from '@millrace/contracts';
import {
  arrayQuery,
  inTransaction,
  outboxColumns,
  outboxInsertSql,
  type Pool,
  type PoolClient,
} from '@millrace/postgres';

import { republishInMs, republishTimesMax, type SilenceTimes } from '../core/silence.ts';
import {
  SilentJobs,
  type Republished,
  type RowName,
  type StandingJobRow,
} from '../ports.ts';
import { findStandingJobs } from './find-standing-jobs.ts';
import { readableStandingJob } from './job-rows.ts';

export interface PostgresSilentJobsOptions {
  readonly pool: Pool;
  readonly codec: PayloadCodec;
  readonly times: SilenceTimes;
}

/** Of the time of acceptance, looked through by one statement: after an outage hours are due. */
const lookedMsMax = 600_000;
/** Between two batches of republished requests, of whichever process: with their limit the rate. */
const republishedEveryMs = 1_000;
/** Entries looked at for each that may be published again: most have ended meanwhile. */
const endedPerOpen = 5;

interface Window {
  readonly from: string;
  readonly until: string;
  readonly more: boolean;
}

interface Entry extends RowName {
  readonly day: string;
  readonly times: number;
  /** Also of a job that is not known any more. */
  readonly ended: boolean;
}

interface Asked {
  readonly jobs: StandingJobRow[];
  readonly unreadable: RowName[];
}

/**
 * The look for silent jobs: the times of acceptance are gone through once, and what had not ended
 * then is kept in a small table, from which it is published again until it has.
 *
 * One process at a time holds the one row of `ingest.silence`; the others pass over it.
 */
export class PostgresSilentJobs extends SilentJobs {
  readonly #options: PostgresSilentJobsOptions;

  constructor(options: PostgresSilentJobsOptions) {
    super();
    this.#options = options;
  }

  async note(): Promise<number> {
    let noted = 0;
    for (let more = true; more; ) {
      const looked = await this.#noteOnce();
      noted += looked.found;
      more = looked.more;
    }
    return noted;
  }

  async nextDueInMs(): Promise<number | null> {
    const { rows } = await this.#options.pool.query<{ in_ms: number | null }>(nextDueText);
    return rows[0]?.in_ms ?? null;
  }

  republishDue(
    limit: number,
    announce: (job: StandingJobRow) => OutgoingMessage,
  ): Promise<Republished> {
    return inTransaction(this.#options.pool, async (client) => {
      const { rowCount } = await client.query(takeTurnText, [republishedEveryMs]);
      if (rowCount !== 1) return { messages: [], givenUp: [], unreadable: [] };
      const { rows } = await client.query<Entry>(dueText, [limit * endedPerOpen]);
      const open = rows.filter(({ ended }) => !ended);
      const asked = open.filter(({ times }) => times < republishTimesMax).slice(0, limit);
      const lost = open.filter(({ times }) => times >= republishTimesMax);
      await this.#forget(client, [...rows.filter(({ ended }) => ended), ...lost]);
      const { jobs, unreadable } = await this.#askAgain(client, asked);
      const messages = jobs.map(announce);
      const text = outboxInsertSql('ingest', 1);
      await client.query(arrayQuery({ text, values: outboxColumns(messages) }));
      return { messages, givenUp: lost.map(nameOf), unreadable };
    });
  }

  /** @returns how many silent jobs were found, and whether there is more to look through. */
  #noteOnce(): Promise<{ readonly found: number; readonly more: boolean }> {
    const { silentMs } = this.#options.times;
    return inTransaction(this.#options.pool, async (client) => {
      const { rows } = await client.query<Window>(windowText, [
        silentMs,
        lookedMsMax,
      ]);
      const [window] = rows;
      if (window === undefined) return { found: 0, more: false };
      const { rowCount } = await client.query(noteText, [window.from, window.until]);
      await client.query('UPDATE ingest.silence SET looked_until = $1', [window.until]);
      return { found: rowCount ?? 0, more: window.more };
    });
  }

  async #forget(client: PoolClient, entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return;
    await client.query(arrayQuery({ text: forgetText, values: namesOf(entries) }));
  }

  /** The jobs of these entries, each of which comes again later. */
  async #askAgain(client: PoolClient, asked: readonly Entry[]): Promise<Asked> {
    if (asked.length === 0) return { jobs: [], unreadable: [] };
    const { codec, times } = this.#options;
    const waitsMs = asked.map((entry) => republishInMs(entry.times + 1, times));
    await client.query(arrayQuery({ text: againText, values: [...namesOf(asked), waitsMs] }));
    const names = asked.map(({ tenant, id }) => ({ tenant, id, idempotencyKey: null }));
    const found = (await findStandingJobs(client, names)).map((row) => ({
      row,
      job: readableStandingJob(codec, row),
    }));
    return {
      jobs: found.flatMap(({ job }) => job ?? []),
      unreadable: found.filter(({ job }) => job === null).map(({ row }) => nameOf(row)),
    };
  }
}

/** Times as text: a JavaScript date would lose the microseconds. */
const windowText = `
SELECT looked_until::text AS from,
  least(looked_until + $2 * interval '1 ms', now() - $1 * interval '1 ms')::text AS until,
  looked_until + $2 * interval '1 ms' < now() - $1 * interval '1 ms' AS more
FROM ingest.silence
WHERE looked_until < now() - $1 * interval '1 ms'
FOR UPDATE SKIP LOCKED`;

/** Jobs with a time of their own are looked after from their release on. */
const noteText = `
INSERT INTO ingest.silent_jobs (tenant, id, day, next_at)
SELECT tenant, id, day, now() FROM ingest.jobs
WHERE created_at >= $1::timestamptz AND created_at < $2::timestamptz
  AND day BETWEEN ($1::timestamptz AT TIME ZONE 'UTC')::date
    AND ($2::timestamptz AT TIME ZONE 'UTC')::date
  AND finished_at IS NULL AND (run_at IS NULL OR run_at <= created_at)
ON CONFLICT DO NOTHING`;

const nextDueText = `
SELECT (extract(epoch FROM min(next_at) - clock_timestamp()) * 1000)::float8 AS in_ms
FROM ingest.silent_jobs`;

const takeTurnText = `
WITH turn AS (
  SELECT FROM ingest.silence WHERE republished_at <= now() - $1 * interval '1 ms'
  FOR UPDATE SKIP LOCKED
)
UPDATE ingest.silence SET republished_at = now() FROM turn`;

const dueText = `
WITH due AS (
  SELECT tenant, id, day, times FROM ingest.silent_jobs
  WHERE next_at <= now()
  ORDER BY next_at
  LIMIT $1::int
  FOR UPDATE SKIP LOCKED
)
SELECT tenant, id, day::text, times,
  jobs.id IS NULL OR finished_at IS NOT NULL AS ended
FROM due LEFT JOIN ingest.jobs USING (tenant, id, day)`;

const forgetText = `
DELETE FROM ingest.silent_jobs AS entry
USING unnest($1::text[], $2::text[], $3::date[]) AS input(tenant, id, day)
WHERE entry.tenant = input.tenant AND entry.id = input.id AND entry.day = input.day`;

const againText = `
UPDATE ingest.silent_jobs AS entry
SET times = entry.times + 1, next_at = now() + input.wait_ms * interval '1 ms'
FROM unnest($1::text[], $2::text[], $3::date[], $4::float8[])
  AS input(tenant, id, day, wait_ms)
WHERE entry.tenant = input.tenant AND entry.id = input.id AND entry.day = input.day`;

function nameOf({ tenant, id }: RowName): RowName {
  return { tenant, id };
}

function namesOf(entries: readonly Entry[]): [string[], string[], string[]] {
  return [
    entries.map(({ tenant }) => tenant),
    entries.map(({ id }) => id),
    entries.map(({ day }) => day),
  ];
}
