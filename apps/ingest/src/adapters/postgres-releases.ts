import type { OutgoingMessage, PayloadCodec } from '@millrace/contracts';
import {
  arrayQuery,
  inTransaction,
  outboxColumns,
  outboxInsertSql,
  type Pool,
  type PoolClient,
} from '@millrace/postgres';

import {
  Releases,
  type KeptEvent,
  type ReleasedBatch,
  type ReleaseTeller,
  type StandingJobRow,
  type ToldEnd,
} from '../ports.ts';
import { standingFields, type StandingRow } from './find-standing-jobs.ts';
import { finishJobs } from './finish-jobs.ts';
import { standingJobOf } from './job-rows.ts';
import { keepEvents } from './keep-events.ts';
import { numberedTurns } from './numbered-turns.ts';

export interface PostgresReleasesOptions {
  readonly pool: Pool;
  readonly codec: PayloadCodec;
  /** From a job's release until it counts as silent. */
  readonly silentMs: number;
}

interface DueRow extends StandingRow {
  readonly day: string;
  readonly taken_at: Date;
  readonly expired: boolean;
}

interface DueJob {
  readonly job: StandingJobRow;
  readonly day: string;
  readonly takenAt: Date;
  /** Without the number of a turn. */
  readonly request: OutgoingMessage;
}

interface DueBatch {
  readonly released: DueJob[];
  readonly ended: ToldEnd[];
  readonly unreadable: DueRow[];
}

/** Until a job that cannot be read is tried again: somebody has to mend it first. */
const unreadableWaitMs = 10 * 60_000;

/**
 * The table of jobs that wait.
 *
 * R1 Who deletes a job's row decides what becomes of it, in the transaction that deletes it: its
 *    request or its end is in the outbox then, and nobody else finds the row.
 * R2 A turn gets its number when it is released, so that the numbers of a session stay dense.
 * R3 A job that cannot be read is put off before any turn is numbered, and holds up nobody.
 */
export class PostgresReleases extends Releases {
  readonly #options: PostgresReleasesOptions;

  constructor(options: PostgresReleasesOptions) {
    super();
    this.#options = options;
  }

  releaseDue(limit: number, teller: ReleaseTeller): Promise<ReleasedBatch> {
    return inTransaction(this.#options.pool, async (client) => {
      const { rows } = await client.query<DueRow>(takeDueText, [limit]);
      const { ended, released, unreadable } = this.#read(rows, teller);
      await putOff(client, unreadable);
      const seqs = await numberTurns(client, released);
      const requests = released.map(({ job, request }) => {
        const seq = seqs.get(keyOf(job));
        return seq === undefined ? request : teller.released(job, seq);
      });
      const messages = [...requests, ...ended.map(({ message }) => message)];
      await this.#tell(client, { released, ended, messages });
      return { released: released.length, ended, messages, unreadable };
    });
  }

  async nextDueInMs(): Promise<number | null> {
    const { rows } = await this.#options.pool.query<{ in_ms: number | null }>(nextDueText);
    return rows[0]?.in_ms ?? null;
  }

  /** R1. A job that has ended all the same, as somebody has told of it, is not told of again. */
  end({ end, message }: ToldEnd): Promise<boolean> {
    const { codec, pool } = this.#options;
    return inTransaction(pool, async (client) => {
      const { rowCount } = await client.query(endText, [end.tenant, end.id, end.day]);
      if (rowCount !== 1) return false;
      const [result] = await finishJobs(client, [end], codec);
      if (result === 'ended') await insertMessages(client, [message]);
      return result === 'ended';
    });
  }

  /** R3 */
  #read(rows: readonly DueRow[], teller: ReleaseTeller): DueBatch {
    const batch: DueBatch = { released: [], ended: [], unreadable: [] };
    for (const row of rows) {
      const { day, taken_at: takenAt } = row;
      try {
        const job = standingJobOf(this.#options.codec, row);
        if (row.expired) batch.ended.push(teller.expired(job));
        else batch.released.push({ job, day, takenAt, request: teller.released(job, null) });
      } catch {
        batch.unreadable.push(row);
      }
    }
    return batch;
  }

  async #tell(
    client: PoolClient,
    o: {
      readonly released: readonly DueJob[];
      readonly ended: readonly ToldEnd[];
      readonly messages: readonly OutgoingMessage[];
    },
  ): Promise<void> {
    const { codec, silentMs } = this.#options;
    if (o.messages.length === 0) return;
    await insertMessages(client, o.messages);
    if (o.ended.length > 0) await finishJobs(client, o.ended.map(({ end }) => end), codec);
    await keepEvents(client, o.released.map(releaseOf), codec);
    await client.query(
      arrayQuery({ text: watchText, values: [...namesOf(o.released), silentMs] }),
    );
  }
}

/** In the order in which they fell due, which is the order of a session's turns. */
const takeDueText = `
WITH due AS (
  SELECT tenant, id, day FROM ingest.releases
  WHERE run_at <= now()
  ORDER BY run_at, tenant, id
  LIMIT $1::int
  FOR UPDATE SKIP LOCKED
), taken AS (
  DELETE FROM ingest.releases AS waiting USING due
  WHERE waiting.tenant = due.tenant AND waiting.id = due.id AND waiting.day = due.day
  RETURNING waiting.tenant, waiting.id, waiting.day
)
SELECT ${standingFields}, jobs.day::text, now() AS taken_at, NULL::int AS seq, false AS waits,
  coalesce(complete_by <= now(), false) AS expired
FROM taken JOIN ingest.jobs USING (tenant, id, day)
ORDER BY jobs.run_at, created_at, jobs.id`;

const nextDueText = `
SELECT (extract(epoch FROM min(run_at) - clock_timestamp()) * 1000)::float8 AS in_ms
FROM ingest.releases`;

const endText = 'DELETE FROM ingest.releases WHERE tenant = $1 AND id = $2 AND day = $3';

const putOffText = `
INSERT INTO ingest.releases (tenant, id, day, run_at)
SELECT tenant, id, day, now() + $4 * interval '1 ms'
FROM unnest($1::text[], $2::text[], $3::date[]) AS input(tenant, id, day)`;

const numberText = `
WITH input AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::date[], $4::text[]) WITH ORDINALITY
    AS input(tenant, id, day, session_id, place)
), turns AS (
  SELECT tenant, id, session_id, day,
    row_number() OVER (PARTITION BY tenant, session_id ORDER BY place)::int AS turn
  FROM input
), ${numberedTurns}
SELECT tenant, job_id AS id, seq FROM numbered`;

/** Released jobs are looked after from now on: the look by time of acceptance passed over them. */
const watchText = `
INSERT INTO ingest.silent_jobs (tenant, id, day, next_at)
SELECT tenant, id, day, now() + $4 * interval '1 ms'
FROM unnest($1::text[], $2::text[], $3::date[]) AS input(tenant, id, day)
ON CONFLICT DO NOTHING`;

async function insertMessages(
  client: PoolClient,
  messages: readonly OutgoingMessage[],
): Promise<void> {
  const text = outboxInsertSql('ingest', 1);
  await client.query(arrayQuery({ text, values: outboxColumns(messages) }));
}

async function putOff(client: PoolClient, jobs: readonly DueRow[]): Promise<void> {
  if (jobs.length === 0) return;
  const names = [
    jobs.map(({ tenant }) => tenant),
    jobs.map(({ id }) => id),
    jobs.map(({ day }) => day),
  ];
  await client.query(arrayQuery({ text: putOffText, values: [...names, unreadableWaitMs] }));
}

/** R2. Only messages have a place in their session. @returns numbers by job. */
async function numberTurns(
  client: PoolClient,
  released: readonly DueJob[],
): Promise<ReadonlyMap<string, number>> {
  const turns = released.filter(({ job }) => job.type === 'message' && job.sessionId !== null);
  if (turns.length === 0) return new Map();
  const values = [...namesOf(turns), turns.map(({ job }) => job.sessionId)];
  const { rows } = await client.query<{ tenant: string; id: string; seq: number }>(
    arrayQuery({ text: numberText, values }),
  );
  return new Map(rows.map((row) => [keyOf(row), row.seq]));
}

/** Only a job with a time of its own has this event: others are released as they are accepted. */
function releaseOf({ day, job, takenAt }: DueJob): KeptEvent {
  const { id, tenant } = job;
  return { tenant, id, day, event: { kind: 'released', at: takenAt.toISOString() } };
}

function namesOf(jobs: readonly DueJob[]): [string[], string[], string[]] {
  return [
    jobs.map(({ job }) => job.tenant),
    jobs.map(({ job }) => job.id),
    jobs.map(({ day }) => day),
  ];
}

function keyOf({ tenant, id }: { readonly tenant: string; readonly id: string }): string {
  return `${tenant}/${id}`;
}
