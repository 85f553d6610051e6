import type { PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type Pool, type TenantDatabase } from '@millrace/postgres';
import type { Logger } from '@millrace/runtime';

import type { RunEntry } from '../core/live-run.ts';
import { eventsKeptMs } from '../core/stream-life.ts';
import { parseToldRun } from '../core/told-run.ts';
import { ToldRuns, type JobName, type ToldRun } from '../ports.ts';

/** Bytes of bodies in one statement. */
const statementBytesMax = 4 * 1024 * 1024;
const deletedAtOnceMax = 500;

/**
 * Sorted by key, so that two replicas never wait for each other in a circle. An end that comes
 * again may find less in memory than the first time, so the longer one stays.
 */
const keepText = `
INSERT INTO ingest.told_runs AS kept (tenant, job_id, run, finished_at)
SELECT DISTINCT ON (tenant, job_id) *
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[])
  AS input(tenant, job_id, run, finished_at)
ORDER BY tenant, job_id
ON CONFLICT (tenant, job_id) DO UPDATE SET run = excluded.run, finished_at = excluded.finished_at
WHERE length(excluded.run) > length(kept.run)`;

const findText = 'SELECT run FROM ingest.told_runs WHERE tenant = $1 AND job_id = $2';

const purgeText = `
DELETE FROM ingest.told_runs WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM ingest.told_runs
  WHERE finished_at < now() - make_interval(secs => $1)
  LIMIT ${deletedAtOnceMax} FOR UPDATE SKIP LOCKED
))`;

export interface PostgresToldRunsOptions {
  readonly pool: Pool;
  /** What is read for one tenant. */
  readonly own: TenantDatabase;
  readonly codec: PayloadCodec;
  readonly log: Logger;
}

/** What was told of jobs that have ended, for a day. */
export class PostgresToldRuns extends ToldRuns {
  readonly #options: PostgresToldRunsOptions;

  constructor(options: PostgresToldRunsOptions) {
    super();
    this.#options = options;
  }

  async keep(runs: readonly ToldRun[]): Promise<void> {
    const { codec, pool } = this.#options;
    const rows = runs.map(({ json, tenant, ...rest }) => {
      const body = codec.encode(Buffer.from(json), { tenant, medium: 'table' });
      return { ...rest, tenant, body };
    });
    for (const some of statements(rows)) {
      const values = [
        some.map(({ tenant }) => tenant),
        some.map(({ id }) => id),
        some.map(({ body }) => body),
        some.map(({ finishedAt }) => finishedAt),
      ];
      await pool.query(arrayQuery({ text: keepText, values }));
    }
  }

  async find({ id, tenant }: JobName): Promise<readonly RunEntry[]> {
    const { codec, log, own } = this.#options;
    const { rows } = await own.query<{ run: Buffer }>(tenant, {
      name: 'find_told_run',
      text: findText,
      values: [tenant, id],
    });
    const [row] = rows;
    if (row === undefined) return [];
    try {
      const json = codec.decode(row.run, { tenant, medium: 'table' }).toString('utf8');
      return parseToldRun(json);
    } catch (error) {
      // It would stay so for a day: who follows the job is told its end, at least.
      log.error({ error, tenant, job_id: id }, 'what was told of a job cannot be read');
      return [];
    }
  }

  async purge(): Promise<number> {
    const values = [eventsKeptMs / 1_000];
    for (let deleted = 0; ; ) {
      const { rowCount } = await this.#options.pool.query({ text: purgeText, values });
      deleted += rowCount ?? 0;
      if ((rowCount ?? 0) < deletedAtOnceMax) return deleted;
    }
  }
}

/** Rows together as far as a statement may be large; one that is larger goes alone. */
function* statements<R extends { readonly body: Buffer }>(rows: readonly R[]): Generator<R[]> {
  let some: R[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (some.length > 0 && bytes + row.body.length > statementBytesMax) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(row);
    bytes += row.body.length;
  }
  if (some.length > 0) yield some;
}
