import type { PayloadCodec } from '@millrace/contracts';

import type { Delivery, RecordPlace } from '../core/delivery.ts';
import { laneCapDefault } from '../core/lane.ts';
import { laneSightColumns, laneSightOfRow, type LaneSightRow } from './lane-sight-sql.ts';

/** Lanes that are read by when they fall due: a millisecond or two. */
const lanesReadMax = 500;
/** Lanes of each tenant that are read when there are more than that: enough for its next claims. */
const lanesOfTenantMax = 20;
/** An open breaker's probe ends long before this, or its process has died. */
const probeMs = 60_000;

/**
 * Picks lanes that are due, in turn, and gives the free slots to the earliest deliveries of each:
 * every lane's first before any lane's second, fresh ones before retries.
 *
 * C1 A lane says by itself when to look at it (`ready_at`), so that one which is closed, waits for
 *    its time or holds nothing is never looked at, however many there are of them.
 * C2 Lanes that have no room here are passed over before they are counted. Beside more than
 *    `lanesReadMax` others the walk goes from tenant to tenant: nobody's lanes hide another's.
 * C3 A lane is worked on by one claim at a time, which holds its row. It says when to look again:
 *    at once, behind all others, while more of it is due; else when its next delivery is due.
 * C4 Whoever makes a row wait counts `woken` up, and a claim that did not see that row, since its
 *    snapshot is older than the count, leaves the time of the lane as it is.
 * C5 When an open breaker's time is over one delivery is given, as a probe, and no other one before
 *    the probe has ended.
 */
export const claimSql = `
  WITH RECURSIVE busy AS MATERIALIZED (
    SELECT * FROM unnest($3::text[], $4::text[], $5::int[]) AS busy (tenant, origin, room)
  ), crowded AS MATERIALIZED (
    SELECT * FROM unnest($6::text[], $7::int[]) AS crowded (tenant, room)
  ), soonest AS MATERIALIZED (
    SELECT l.tenant, l.origin, l.ready_at, l.woken FROM dispatcher.lanes AS l
    WHERE l.ready_at <= now() AND ${hasRoom('l')}
    ORDER BY l.ready_at LIMIT ${lanesReadMax}
  ), crowd AS (
    SELECT min(tenant) AS tenant FROM dispatcher.lanes
    WHERE ready_at IS NOT NULL AND (SELECT count(*) FROM soonest) >= ${lanesReadMax}
    UNION ALL
    SELECT (SELECT min(l.tenant) FROM dispatcher.lanes AS l
      WHERE l.ready_at IS NOT NULL AND l.tenant > crowd.tenant)
    FROM crowd WHERE crowd.tenant IS NOT NULL
  ), found AS (
    SELECT * FROM soonest
    UNION
    SELECT l.* FROM crowd CROSS JOIN LATERAL (
      SELECT l.tenant, l.origin, l.ready_at, l.woken FROM dispatcher.lanes AS l
      WHERE l.tenant = crowd.tenant AND l.ready_at <= now() AND ${hasRoom('l')}
      ORDER BY l.ready_at LIMIT ${lanesOfTenantMax}) AS l
  ), turn AS (
    SELECT tenant, origin, woken, ready_at,
      row_number() OVER (PARTITION BY tenant ORDER BY ready_at) AS place
    FROM found ORDER BY place, ready_at LIMIT $2
  ), held AS MATERIALIZED (
    SELECT l.*, l.woken = turn.woken AS is_as_seen,
      l.closed_why IS NOT DISTINCT FROM 'breaker' AS is_probe
    FROM turn JOIN dispatcher.lanes AS l USING (tenant, origin)
    WHERE l.ready_at <= now()
    FOR UPDATE OF l SKIP LOCKED
  ), lane AS MATERIALIZED (
    SELECT held.tenant, held.origin, held.ready_at, held.is_as_seen, held.is_probe,
      e.status AS stopped,
      CASE WHEN e.status IS NOT NULL THEN 0 WHEN held.is_probe THEN 1
        ELSE coalesce(busy.room, least(
          coalesce(of_lane.in_flight_max, ${laneCapDefault}), held.in_flight_max,
          CASE WHEN of_lane.rate_per_second IS NOT NULL
            THEN greatest(1, floor(of_lane.rate_per_second)) END))
      END::int AS slots,
      ${laneSightColumns('held', 'of_lane')}
    FROM held
    LEFT JOIN dispatcher.endpoints AS of_lane
      ON of_lane.tenant = held.tenant AND of_lane.id = held.origin
    LEFT JOIN LATERAL (SELECT of_lane.status
      WHERE of_lane.deleted_at IS NULL AND of_lane.status <> 'enabled') AS e ON true
    LEFT JOIN busy ON busy.tenant = held.tenant AND busy.origin = held.origin
  ), due AS MATERIALIZED (
    SELECT d.id, d.day, d.retry, d.not_before, d.not_before <= now() AS is_due,
      lane.tenant, lane.origin, lane.ready_at, lane.slots, row_number() OVER (
        PARTITION BY lane.tenant, lane.origin
        ORDER BY d.not_before > now(), d.retry, d.not_before) AS place
    FROM lane CROSS JOIN (VALUES (false), (true)) AS kind (retry) CROSS JOIN LATERAL (
      SELECT id, day, retry, not_before FROM dispatcher.deliveries AS d
      WHERE d.state = 'waiting' AND d.tenant = lane.tenant AND d.origin = lane.origin
        AND d.retry = kind.retry
      ORDER BY d.not_before LIMIT lane.slots + 1) AS d
  ), ranked AS (
    SELECT due.*, row_number() OVER (
      PARTITION BY due.tenant ORDER BY due.retry, due.place, due.ready_at) AS of_tenant
    FROM due WHERE due.is_due AND due.place <= due.slots
  ), picked AS (
    SELECT ranked.id, ranked.day
    FROM ranked LEFT JOIN crowded ON crowded.tenant = ranked.tenant
    WHERE ranked.of_tenant <= coalesce(crowded.room, $8)
    ORDER BY ranked.retry, ranked.place, ranked.ready_at LIMIT $2
  ), locked AS (
    SELECT d.id, d.day FROM dispatcher.deliveries AS d JOIN picked USING (id, day)
    WHERE d.owner IS NULL AND d.ended_at IS NULL
    ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
  ), claimed AS (
    UPDATE dispatcher.deliveries AS d SET state = 'sending', owner = $1, not_before = now()
    FROM locked WHERE d.id = locked.id AND d.day = locked.day
    RETURNING d.id, d.webhook_id, d.day::text, d.tenant, d.endpoint, d.event_type, d.job_id, d.url,
      d.origin, d.body, d.traceparent, d.tracestate, d.attempts - d.attempts_before AS attempts,
      coalesce(d.redriven_at, d.created_at) AS created_at, d.record_topic, d.record_partition,
      d.record_offset::text
  ), outcome AS (
    SELECT lane.tenant, lane.origin, lane.is_as_seen, lane.is_probe, lane.stopped,
      coalesce(given.rows, 0) AS given, coalesce(seen.due, 0) > coalesce(given.rows, 0) AS has_more,
      seen.next_at
    FROM lane
    LEFT JOIN (SELECT tenant, origin, count(*) AS rows FROM claimed GROUP BY 1, 2) AS given
      ON given.tenant = lane.tenant AND given.origin = lane.origin
    LEFT JOIN (
      SELECT tenant, origin, count(*) FILTER (WHERE is_due) AS due,
        min(not_before) FILTER (WHERE NOT is_due) AS next_at
      FROM due GROUP BY 1, 2) AS seen
      ON seen.tenant = lane.tenant AND seen.origin = lane.origin
  ), moved AS (
    UPDATE dispatcher.lanes AS l SET
      due_at = CASE
        WHEN NOT o.is_as_seen THEN l.due_at
        WHEN NOT o.has_more THEN o.next_at
        WHEN o.given > 0 THEN now()
        ELSE l.due_at END,
      probing_until = CASE WHEN o.is_probe AND o.given > 0
        THEN now() + ${probeMs} * interval '1 ms' ELSE l.probing_until END,
      -- An endpoint that was paused or disabled after its lane was opened.
      closed_until = CASE WHEN o.stopped IS NULL THEN l.closed_until ELSE 'infinity' END,
      closed_why = coalesce(o.stopped, l.closed_why),
      changed_at = now()
    FROM outcome AS o
    WHERE l.tenant = o.tenant AND l.origin = o.origin
      AND (o.given > 0 OR NOT o.has_more OR o.stopped IS NOT NULL)
  )
  SELECT claimed.*, lane.full_cap, lane.cap, lane.rate_per_second, lane.opened, lane.is_probe,
    lane.is_failing, lane.timeouts_in_a_row, lane.blocked_in_a_row, lane.last_success_at
  FROM claimed
  JOIN lane ON lane.tenant = claimed.tenant AND lane.origin = claimed.origin`;

function hasRoom(lane: string): string {
  return `NOT EXISTS (SELECT FROM busy WHERE busy.tenant = ${lane}.tenant
        AND busy.origin = ${lane}.origin AND busy.room <= 0)
      AND NOT EXISTS (SELECT FROM crowded
        WHERE crowded.tenant = ${lane}.tenant AND crowded.room <= 0)`;
}

/** Until the next lane is to be looked at. */
export const nextReadySql = `
  SELECT (extract(epoch FROM min(ready_at) - now()) * 1000)::float8 AS due_in_ms
  FROM dispatcher.lanes WHERE ready_at > now() AND ready_at < 'infinity'`;

export interface DeliveryRow extends LaneSightRow {
  readonly id: string;
  readonly webhook_id: string;
  readonly day: string;
  readonly tenant: string;
  readonly endpoint: string | null;
  readonly event_type: string | null;
  readonly job_id: string | null;
  readonly url: string;
  readonly origin: string;
  readonly body: Buffer;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  /** Those of the present schedule. */
  readonly attempts: number;
  /** When that schedule began. */
  readonly created_at: Date;
  readonly record_topic: string | null;
  readonly record_partition: number | null;
  readonly record_offset: string | null;
}

/** A claimed row as the shell knows it. */
export function deliveryOfRow(
  row: DeliveryRow,
  claim: { readonly owner: string; readonly askedAtMs: number },
  codec: PayloadCodec,
): Delivery {
  return {
    id: row.id,
    webhookId: row.webhook_id,
    day: row.day,
    tenant: row.tenant,
    endpoint: row.endpoint,
    eventType: row.event_type,
    jobId: row.job_id,
    url: row.url,
    origin: row.origin,
    body: bodyOfRow(row, codec),
    traceHeaders: {
      ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
      ...(row.tracestate === null ? {} : { tracestate: row.tracestate }),
    },
    attemptsMade: row.attempts,
    createdAtMs: row.created_at.getTime(),
    source: sourceOfRow(row),
    owner: claim.owner,
    sight: laneSightOfRow(row, claim.askedAtMs),
  };
}

function sourceOfRow(row: DeliveryRow): RecordPlace | null {
  const { record_topic: topic, record_partition: partition, record_offset: offset } = row;
  if (topic === null || partition === null || offset === null) return null;
  return { topic, partition, offset };
}

/** One that cannot be decoded is for its own run to tell: a throw here would stop the others. */
function bodyOfRow({ body, tenant }: DeliveryRow, codec: PayloadCodec): Buffer | null {
  try {
    return codec.decode(body, { tenant, medium: 'table' });
  } catch {
    return null;
  }
}
