import { backlogTenantsMax, tenantIdSchema, type ClaudeBacklog } from '@millrace/contracts';
import type { Pool } from '@millrace/postgres';

import { laneOfRank } from '../core/call.ts';
import { Backlogs } from '../ports.ts';

/** Between two counts of the fleet. */
const everyMsMin = 1_000;
/** Well below the 30 s after which ingest takes a count for old. */
const everyMsMax = 10_000;
/** Counting may take a twentieth of one connection's time. */
const costFactor = 20;
/** Rows that are counted, about half a second: more are as bad as this many. */
const countMax = 500_000;
/** Of each lane the oldest so many are looked at, for one that is due and no turn of a session. */
const oldestLookedAt = 1_000;

const takeTurn = `
UPDATE worker.backlog_turn SET next_at = now() + $1::int * interval '1 ms'
WHERE next_at <= now() RETURNING told_waiting`;

const endTurn = `
UPDATE worker.backlog_turn
SET next_at = now() + $1::int * interval '1 ms', told_waiting = $2::int`;

const countTenants = `
WITH waiting AS (
  SELECT tenant FROM worker.calls WHERE state = 'QUEUED' LIMIT ${countMax}
)
SELECT tenant, count(*)::int AS waiting, (sum(count(*)) OVER ())::int AS total
FROM waiting GROUP BY tenant ORDER BY waiting DESC, tenant LIMIT ${backlogTenantsMax}`;

/** A turn of a session waits for the turns before it, however free the platform is. */
const findOldest = `
SELECT rank, (extract(epoch FROM max(now() - greatest(c.created_at, c.not_before))) * 1000)::float8
  AS oldest_ms
FROM generate_series(0, 2) AS rank, LATERAL (
  SELECT created_at, not_before, session_id FROM worker.calls
  WHERE state = 'QUEUED' AND lane = rank::smallint ORDER BY created_at LIMIT ${oldestLookedAt}) AS c
WHERE c.not_before <= now() AND c.session_id IS NULL
GROUP BY rank`;

/** The queue of calls in Postgres, counted by one process at a time. */
export class PostgresBacklogs extends Backlogs {
  constructor(private readonly pool: Pool) {
    super();
  }

  async count(): Promise<ClaudeBacklog | null> {
    const turn = await this.pool.query<{ told_waiting: number }>(takeTurn, [everyMsMax]);
    const [taken] = turn.rows;
    if (taken === undefined) return null;
    const beganAtMs = performance.now();
    const backlog = await this.read();
    const nextInMs = Math.ceil((performance.now() - beganAtMs) * costFactor);
    const isTold = backlog.waiting > 0 || taken.told_waiting > 0;
    await this.pool.query(endTurn, [
      Math.min(Math.max(nextInMs, everyMsMin), everyMsMax),
      backlog.waiting,
    ]);
    return isTold ? backlog : null;
  }

  private async read(): Promise<ClaudeBacklog> {
    const tenants = await this.pool.query<TenantRow>(countTenants);
    const oldest =
      tenants.rows.length === 0 ? [] : (await this.pool.query<LaneRow>(findOldest)).rows;
    return {
      counted_at: new Date().toISOString(),
      waiting: tenants.rows[0]?.total ?? 0,
      oldest_ms: Object.fromEntries(
        oldest.map(({ rank, oldest_ms: ms }) => [laneOfRank(rank), ms]),
      ),
      tenants: tenants.rows.map(({ tenant, waiting }) => ({
        tenant: tenantIdSchema.parse(tenant),
        waiting,
      })),
    };
  }
}

interface TenantRow {
  readonly tenant: string;
  readonly waiting: number;
  readonly total: number;
}

interface LaneRow {
  readonly rank: number;
  readonly oldest_ms: number;
}
