import { sameDay } from '@millrace/postgres';

import { claimedColumns, leftColumn } from './execution-rows.ts';

/** An execution that is there already stays as it is: its request came to us twice. */
export const insertSql = `
  INSERT INTO tools.executions (tenant, call_id, day, kind, request, origin, traceparent,
    tracestate, owner, complete_by, state)
  SELECT tenant, call_id, day, kind, request, origin, traceparent, tracestate, owner, complete_by,
    CASE WHEN owner IS NULL THEN 'waiting' ELSE 'running' END
  FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::bytea[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::timestamptz[])
    AS new (tenant, call_id, day, kind, request, origin, traceparent, tracestate, owner,
      complete_by)
  ON CONFLICT (tenant, call_id, day) DO NOTHING RETURNING tenant, call_id, ${leftColumn}`;

/**
 * A cancel: what waits ends, what runs is flagged, what has ended stays, and one that comes before
 * its request leaves a row that has ended.
 */
export const cancelSql = `
  INSERT INTO tools.executions AS e (tenant, call_id, day, kind, request, origin, state,
    cancel_requested, ended_at, completion_type, completion)
  SELECT tenant, call_id, day, 'run', '', 'cancelled', 'ended', true, now(), type, completion
  FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::bytea[])
    AS c (tenant, call_id, day, type, completion)
  ORDER BY tenant, call_id
  ON CONFLICT (tenant, call_id, day) DO UPDATE SET
    cancel_requested = true,
    state = CASE e.state WHEN 'waiting' THEN 'ended' ELSE e.state END,
    ended_at = CASE e.state WHEN 'waiting' THEN now() ELSE e.ended_at END,
    completion_type = CASE e.state WHEN 'waiting' THEN excluded.completion_type
      ELSE e.completion_type END,
    completion = CASE e.state WHEN 'waiting' THEN excluded.completion ELSE e.completion END
  WHERE e.state <> 'ended'`;

export const endsSql = `
  SELECT e.tenant, e.call_id, e.completion_type, e.completion
  FROM tools.executions AS e
    JOIN unnest($1::text[], $2::text[], $3::date[]) AS asked (tenant, call_id, day)
      ON e.tenant = asked.tenant AND e.call_id = asked.call_id AND e.day = asked.day
  WHERE e.day BETWEEN $4::date AND $5::date AND e.state = 'ended'`;

/** Rows due up to which they are read to find their origins: a millisecond or two. */
const dueReadMax = 1_000;

/**
 * Finds each (tenant, origin) with rows that are due, takes the earliest of each that has room, and
 * gives the free slots round-robin: every origin's first before any origin's second, fresh ones
 * before retries. Beside a backlog it walks from one origin to the next by the index instead, due
 * or not: a backlog is never read through, and hides no other origin.
 *
 * Two processes may pick the same rows; the lock decides, and the loser picks again later. There
 * `waiting` is said in other words, or a planner without statistics takes the index of all waiting
 * rows in place of the primary key.
 */
export const claimSql = `
  WITH RECURSIVE soonest AS MATERIALIZED (
    SELECT tenant, origin FROM tools.executions
    WHERE state = 'waiting' AND not_before <= now() ORDER BY not_before LIMIT ${dueReadMax + 1}
  ), walked AS (
    (SELECT tenant, origin FROM tools.executions
     WHERE state = 'waiting' AND (SELECT count(*) FROM soonest) > ${dueReadMax}
     ORDER BY tenant, origin LIMIT 1)
    UNION ALL
    SELECT next.tenant, next.origin FROM walked, LATERAL (
      SELECT e.tenant, e.origin FROM tools.executions AS e
      WHERE e.state = 'waiting' AND (e.tenant, e.origin) > (walked.tenant, walked.origin)
      ORDER BY e.tenant, e.origin LIMIT 1) AS next
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
    SELECT e.tenant, e.call_id, e.day, e.retry, e.not_before, room.slots, row_number() OVER (
      PARTITION BY room.tenant, room.origin ORDER BY e.retry, e.not_before) AS place
    FROM room CROSS JOIN (VALUES (false), (true)) AS kind (retry) CROSS JOIN LATERAL (
      SELECT tenant, call_id, day, retry, not_before FROM tools.executions AS e
      WHERE e.state = 'waiting' AND e.tenant = room.tenant AND e.origin = room.origin
        AND e.retry = kind.retry AND e.not_before <= now()
      ORDER BY e.not_before LIMIT room.slots) AS e
  ), picked AS (
    SELECT tenant, call_id, day FROM due WHERE place <= slots
    ORDER BY retry, place, not_before LIMIT $2
  ), locked AS (
    SELECT e.tenant, e.call_id, e.day FROM tools.executions AS e
      JOIN picked USING (tenant, call_id, day)
    WHERE e.owner IS NULL AND e.ended_at IS NULL
    ORDER BY e.tenant, e.call_id FOR UPDATE OF e SKIP LOCKED
  )
  UPDATE tools.executions AS e SET state = 'running', owner = $1, not_before = now()
  FROM locked
  WHERE e.tenant = locked.tenant AND e.call_id = locked.call_id AND e.day = locked.day
  RETURNING ${claimedColumns}`;

export const claimExpiredSql = `
  WITH locked AS (
    SELECT tenant, call_id, day FROM tools.executions
    WHERE state = 'waiting' AND complete_by <= now()
    ORDER BY complete_by LIMIT $2 FOR UPDATE SKIP LOCKED
  )
  UPDATE tools.executions AS e SET state = 'running', owner = $1, not_before = now()
  FROM locked
  WHERE e.tenant = locked.tenant AND e.call_id = locked.call_id AND e.day = locked.day
  RETURNING ${claimedColumns}`;

/**
 * Ends an attempt: the row and, for one that has ended, the event that tells it, all fenced by the
 * owner and the attempts before this one: the same process may hold the row again, for the next,
 * when a settlement whose answer was lost is repeated. The fence is written so that no index serves
 * it: by that of owners each row would look at all that its owner held since the vacuum.
 */
export const settleSql = `
  WITH o AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::int[], $6::text[],
      $7::boolean[], $8::float8[], $9::text[], $10::bytea[], $11::text[], $12::text[],
      $13::jsonb[], $14::bytea[])
      AS o (tenant, call_id, day, owner, made, state, counted, after_ms, completion_type,
        completion, topic, key, headers, value)
  ), settled AS (
    UPDATE tools.executions AS e SET
      state = o.state,
      owner = NULL,
      attempts = e.attempts + o.counted::int,
      -- One that was cancelled while it ran is claimed at once, to be ended.
      not_before = now() + CASE WHEN e.cancel_requested THEN 0 ELSE o.after_ms END
        * interval '1 ms',
      ended_at = CASE o.state WHEN 'ended' THEN now() END,
      completion_type = o.completion_type,
      completion = o.completion
    FROM o WHERE e.tenant = o.tenant AND e.call_id = o.call_id AND ${sameDay('e', 'o.day')}
      AND e.day BETWEEN $15::date AND $16::date
      AND CASE e.state WHEN 'running' THEN (e.owner, e.attempts + e.lost) = (o.owner, o.made) END
    RETURNING e.tenant, e.call_id
  ), told AS (
    INSERT INTO tools.outbox (id, topic, key, headers, value)
    SELECT o.topic || '/' || (o.headers ->> 'ce_id'), o.topic, o.key, o.headers, o.value
    FROM settled AS s JOIN o USING (tenant, call_id) WHERE o.topic IS NOT NULL
    ON CONFLICT (id) DO NOTHING
  )
  SELECT tenant, call_id FROM settled`;
