import type { Pool } from '@millrace/postgres';

import { LaneUpkeep } from '../ports.ts';
import { wakeLanesSql } from './wake-sql.ts';

/** Deliveries that one statement ends: some ten milliseconds. */
const endedRowsMax = 1_000;
/** Lanes that are deleted by one statement. */
const forgottenRowsMax = 1_000;

/**
 * Walks from lane to lane of what waits, at some 50 µs each. Nothing is found, unless a process of
 * an older release makes deliveries, or somebody has deleted a lane's row.
 */
const wakeForgottenSql = `
  WITH RECURSIVE walked AS (
    (SELECT tenant, origin, not_before FROM dispatcher.deliveries WHERE state = 'waiting'
     ORDER BY tenant, origin LIMIT 1)
    UNION ALL
    SELECT next.* FROM walked, LATERAL (
      SELECT d.tenant, d.origin, d.not_before FROM dispatcher.deliveries AS d
      WHERE d.state = 'waiting' AND (d.tenant, d.origin) > (walked.tenant, walked.origin)
      ORDER BY d.tenant, d.origin LIMIT 1) AS next
  ), woken AS (
    ${wakeLanesSql(`
      SELECT walked.tenant, walked.origin, now() AS not_before FROM walked
      WHERE NOT EXISTS (SELECT FROM dispatcher.lanes AS l WHERE l.tenant = walked.tenant
        AND l.origin = walked.origin AND l.due_at IS NOT NULL)`)}
    RETURNING l.origin
  )
  SELECT count(*)::int AS count FROM woken`;

/**
 * What waits at an endpoint that will not be sent anything is kept, or given up with it. The lane
 * is looked at no more when a later round finds nothing in it.
 */
const endUnsendableSql = `
  WITH lane AS (
    SELECT l.tenant, l.origin, l.woken, e.deleted_at IS NOT NULL AS is_deleted
    FROM dispatcher.lanes AS l
    JOIN dispatcher.endpoints AS e ON e.tenant = l.tenant AND e.id = l.origin
    WHERE l.due_at IS NOT NULL AND (e.status = 'disabled' OR e.deleted_at IS NOT NULL)
    ORDER BY l.tenant, l.origin LIMIT 100
  ), waiting AS (
    SELECT d.id, d.day, lane.is_deleted FROM lane
    JOIN dispatcher.deliveries AS d ON d.tenant = lane.tenant AND d.origin = lane.origin
    WHERE d.state = 'waiting' LIMIT ${endedRowsMax} FOR UPDATE OF d SKIP LOCKED
  ), ended AS (
    UPDATE dispatcher.deliveries AS d SET
      state = CASE WHEN waiting.is_deleted THEN 'stopped' ELSE 'skipped_disabled' END,
      code = CASE WHEN waiting.is_deleted THEN 'endpoint_deleted' ELSE 'endpoint_disabled' END,
      ended_at = now()
    FROM waiting WHERE d.id = waiting.id AND d.day = waiting.day
    RETURNING d.id
  ), emptied AS (
    UPDATE dispatcher.lanes AS l SET due_at = NULL FROM lane
    WHERE l.tenant = lane.tenant AND l.origin = lane.origin AND l.woken = lane.woken
      AND NOT EXISTS (SELECT FROM dispatcher.deliveries AS d
        WHERE d.state = 'waiting' AND d.tenant = lane.tenant AND d.origin = lane.origin)
  )
  SELECT count(*)::int AS count FROM ended`;

const forgetUnusedSql = `
  WITH gone AS (
    DELETE FROM dispatcher.lanes WHERE (tenant, origin) IN (
      SELECT tenant, origin FROM dispatcher.lanes
      WHERE changed_at < now() - interval '7 days' AND due_at IS NULL
        AND closed_why IS DISTINCT FROM 'paused' AND closed_why IS DISTINCT FROM 'disabled'
      ORDER BY changed_at LIMIT ${forgottenRowsMax} FOR UPDATE SKIP LOCKED)
    RETURNING origin
  )
  SELECT count(*)::int AS count FROM gone`;

/** What keeps lanes right, in Postgres; several processes may do it at once. */
export class PostgresLaneUpkeep extends LaneUpkeep {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    super();
    this.#pool = pool;
  }

  wakeForgotten(): Promise<number> {
    return this.#count(wakeForgottenSql);
  }

  async endUnsendable(): Promise<number> {
    let ended = 0;
    for (;;) {
      const rows = await this.#count(endUnsendableSql);
      ended += rows;
      if (rows < endedRowsMax) return ended;
    }
  }

  forgetUnused(): Promise<number> {
    return this.#count(forgetUnusedSql);
  }

  async #count(text: string): Promise<number> {
    const { rows } = await this.#pool.query<{ count: number }>(text);
    return rows[0]?.count ?? 0;
  }
}
