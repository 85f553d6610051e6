import type { PayloadCodec } from '@millrace/contracts';

import type { Delivery } from '../core/delivery.ts';

/** Rows due up to which they are read to find their origins: a millisecond or two. */
const dueReadMax = 1_000;

/**
 * Finds each (tenant, origin) with rows that are due, takes the earliest of each that has room,
 * and gives the free slots round-robin: every origin's first before any origin's second, fresh
 * ones before retries.
 *
 * While few rows are due they themselves say which origins those are, however many others wait for
 * their time. Beside a backlog the claim walks from one origin to the next by the index instead,
 * due or not, at some 10 µs each: a backlog is never read through, and hides no other origin.
 *
 * Two processes may pick the same rows; the lock decides, and the loser picks again later. There
 * `waiting` is said in other words, or a planner without statistics takes the index of all waiting
 * rows in place of the primary key.
 */
export const claimSql = `
  WITH RECURSIVE soonest AS MATERIALIZED (
    SELECT tenant, origin FROM dispatcher.deliveries
    WHERE state = 'waiting' AND not_before <= now() ORDER BY not_before LIMIT ${dueReadMax + 1}
  ), walked AS (
    (SELECT tenant, origin FROM dispatcher.deliveries
     WHERE state = 'waiting' AND (SELECT count(*) FROM soonest) > ${dueReadMax}
     ORDER BY tenant, origin LIMIT 1)
    UNION ALL
    SELECT next.tenant, next.origin FROM walked, LATERAL (
      SELECT d.tenant, d.origin FROM dispatcher.deliveries AS d
      WHERE d.state = 'waiting' AND (d.tenant, d.origin) > (walked.tenant, walked.origin)
      ORDER BY d.tenant, d.origin LIMIT 1) AS next
  ), lane AS (
    SELECT tenant, origin FROM walked
    UNION
    SELECT tenant, origin FROM soonest
  ), room AS (
    SELECT lane.tenant, lane.origin, coalesce(busy.room, $6::int) AS slots
    FROM lane
    LEFT JOIN unnest($3::text[], $4::text[], $5::int[]) AS busy (tenant, origin, room)
      USING (tenant, origin)
  ), due AS (
    SELECT d.id, d.day, d.retry, d.not_before, room.slots, row_number() OVER (
      PARTITION BY room.tenant, room.origin ORDER BY d.retry, d.not_before) AS place
    FROM room CROSS JOIN (VALUES (false), (true)) AS kind (retry) CROSS JOIN LATERAL (
      SELECT id, day, retry, not_before FROM dispatcher.deliveries AS d
      WHERE d.state = 'waiting' AND d.tenant = room.tenant AND d.origin = room.origin
        AND d.retry = kind.retry AND d.not_before <= now()
      ORDER BY d.not_before LIMIT room.slots) AS d
  ), picked AS (
    SELECT id, day FROM due WHERE place <= slots ORDER BY retry, place, not_before LIMIT $2
  ), locked AS (
    SELECT d.id, d.day FROM dispatcher.deliveries AS d JOIN picked USING (id, day)
    WHERE d.owner IS NULL AND d.ended_at IS NULL
    ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
  )
  UPDATE dispatcher.deliveries AS d SET state = 'sending', owner = $1, not_before = now()
  FROM locked WHERE d.id = locked.id AND d.day = locked.day
  RETURNING d.id, d.day::text, d.tenant, d.job_id, d.url, d.origin, d.body, d.traceparent,
    d.tracestate, d.attempts - d.attempts_before AS attempts,
    coalesce(d.redriven_at, d.created_at) AS created_at, d.record_topic, d.record_partition,
    d.record_offset::text`;

export interface DeliveryRow {
  readonly id: string;
  readonly day: string;
  readonly tenant: string;
  readonly job_id: string;
  readonly url: string;
  readonly origin: string;
  readonly body: Buffer;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  /** Those of the present schedule. */
  readonly attempts: number;
  /** When that schedule began. */
  readonly created_at: Date;
  readonly record_topic: string;
  readonly record_partition: number;
  readonly record_offset: string;
}

/** A claimed row as the shell knows it. */
export function deliveryOfRow(row: DeliveryRow, owner: string, codec: PayloadCodec): Delivery {
  return {
    id: row.id,
    day: row.day,
    tenant: row.tenant,
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
    source: {
      topic: row.record_topic,
      partition: row.record_partition,
      offset: row.record_offset,
    },
    owner,
  };
}

/** One that cannot be decoded is for its own run to tell: a throw here would stop the others. */
function bodyOfRow({ body, tenant }: DeliveryRow, codec: PayloadCodec): Buffer | null {
  try {
    return codec.decode(body, { tenant, medium: 'table' });
  } catch {
    return null;
  }
}
