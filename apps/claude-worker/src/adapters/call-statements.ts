import { sameDay } from '@millrace/postgres';

import { callAgeMsMax } from '../core/settle-call.ts';

/**
 * The statements of the ledger.
 *
 * S1 An attempt's row says DISPATCHED and is committed before anything is sent.
 *    It begins when its row is written (`clock_timestamp`): a statement's `now()` may lie before
 *    its snapshot, and so before the end of the turn that it waited for.
 * S2 Only the owner of the current attempt settles it: `owner` and `attempt` are the fence.
 * S3 The result, the completion's outbox row and the conversation's turn are one statement.
 *    A workflow's conversation goes with the day of its job.
 * S4 One call of a session runs at a time, in the order of its turns. Their numbers are dense, so
 *    a turn waits for the one before it, also when that has not come yet: its intake may have died
 *    or been without Kafka. It comes, since its row is on disk. A row of `worker.sessions` must
 *    therefore outlive the session's count at ingest: of an old session only the turns go.
 */

/** How long S4 is waited for. Then a turn is claimed to be ended unsent: none waits for ever. */
const turnWaitMax = `interval '${callAgeMsMax} ms'`;

/** Whether all turns before a call's have ended. */
function isInTurn(call: string): string {
  return `(${call}.session_seq <= 1 + coalesce((
      SELECT s.last_seq FROM worker.sessions s
      WHERE s.tenant = ${call}.tenant AND s.session_id = ${call}.session_id), 0))`;
}

/**
 * Whether a call `o` that has not ended is none of a session's. Not by EXISTS: a planner may answer
 * that by hashing all calls of the day that have not ended, which no index finds.
 */
function noneOpen(call: string, which = ''): string {
  return `(SELECT true FROM worker.calls o
      WHERE o.tenant = ${call}.tenant AND o.session_id = ${call}.session_id
        AND o.state IN ('QUEUED', 'DISPATCHED')${which} LIMIT 1) IS NULL`;
}

const mayGo = `(i.session_id IS NULL OR (${isInTurn('i')} AND
      ${noneOpen('i', ' AND o.day BETWEEN $18::date AND $19::date')}))`;

/**
 * Inserts calls: to this process where it has a slot for them, else to the queue.
 * What may go is materialized: four columns ask for it, and each would look for itself.
 * @param hasTurns some of the batch are turns of sessions: two more parameters say on which days
 *   calls of these sessions may lie. To look for them costs as much as all the rest.
 */
export function insertCalls(hasTurns: boolean): string {
  return `
WITH input AS MATERIALIZED (
  SELECT i.*, i.claim${hasTurns ? ` AND ${mayGo}` : ''} AS dispatched
  FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::int[], $6::boolean[],
    $7::text[], $8::bytea[], $9::text[], $10::bytea[], $11::bytea[], $12::text[], $13::text[],
    $14::date[], $15::timestamptz[], $16::boolean[])
    AS i (tenant, call_id, lane, session_id, session_seq, stream, model, params, params_ref,
      reply, origin, traceparent, tracestate, day, expires_at, claim)
)
INSERT INTO worker.calls (tenant, call_id, day, lane, session_id, session_seq, stream, model,
  params, params_ref, reply, origin, traceparent, tracestate, expires_at, state, owner, attempt,
  dispatched_at)
SELECT tenant, call_id, day, lane, session_id, session_seq, stream, model, params, params_ref,
  reply, origin, traceparent, tracestate, expires_at,
  CASE WHEN dispatched THEN 'DISPATCHED' ELSE 'QUEUED' END,
  CASE WHEN dispatched THEN $17::text END,
  dispatched::int,
  CASE WHEN dispatched THEN clock_timestamp() END
FROM input
ON CONFLICT (tenant, call_id, day) DO NOTHING
RETURNING tenant, call_id, dispatched_at`;
}

/** A statement of its own: the insert's snapshot does not see a row that just beat it. */
export const findExistingCalls = `
SELECT tenant, call_id, completion_type, completion, finished_at
FROM worker.calls
WHERE (tenant, call_id, day) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::date[]))
  AND day BETWEEN $4::date AND $5::date`;

/** All that a run needs of a row `c`. */
const callColumns = `
  c.tenant, c.call_id, c.day::text, c.lane, c.session_id, c.session_seq, c.stream, c.params,
  c.params_ref, c.reply, c.origin, c.traceparent, c.tracestate, c.owner, c.attempt, c.failures,
  c.redispatches, c.cancel_requested, c.expires_at, c.created_at, c.dispatched_at,
  CASE WHEN c.attempt > 1 THEN (
    SELECT json_agg(json_build_object('number', a.number, 'outcome', a.outcome, 'code', a.code,
      'http_status', a.http_status, 'request_id', a.request_id,
      'started_at_ms', extract(epoch FROM a.started_at) * 1000,
      'ended_at_ms', extract(epoch FROM a.ended_at) * 1000) ORDER BY a.number)
    FROM worker.attempts a
    WHERE a.tenant = c.tenant AND a.call_id = c.call_id AND a.day = c.day
  ) END AS closed_attempts`;

/** S4, for a call `c` that waits. */
const isFirst = `(c.session_id IS NULL OR (
      ${noneOpen('c', ` AND (o.session_seq < c.session_seq OR o.state = 'DISPATCHED')`)}
      AND (${isInTurn('c')} OR c.created_at < now() - ${turnWaitMax})))`;

/** Gives waiting calls `c` to a process: a new attempt of each begins. S1, S4 */
function takeCalls(isDue: string, order: string): string {
  return `
WITH due AS (
  SELECT c.tenant, c.call_id, c.day
  FROM worker.calls c
  WHERE c.state = 'QUEUED' AND ${isDue} AND ${isFirst}
  ORDER BY ${order}
  LIMIT $2::int
  FOR UPDATE OF c SKIP LOCKED
)
UPDATE worker.calls c
SET state = 'DISPATCHED', owner = $1::text, attempt = c.attempt + 1,
  dispatched_at = clock_timestamp()
FROM due
WHERE c.tenant = due.tenant AND c.call_id = due.call_id AND c.day = due.day
RETURNING ${callColumns}`;
}

/**
 * Takes what is due, by lane and age. S1, S4. What has expired meanwhile is among it, and is ended
 * unsent by its run.
 */
export const claimCalls = takeCalls('c.not_before <= now()', 'c.lane, c.created_at');

export const nextDue = `
SELECT (extract(epoch FROM min(not_before) - now()) * 1000)::float8 AS in_ms
FROM worker.calls WHERE state = 'QUEUED' AND not_before > now()`;

/** Calls of processes that are gone. */
export const callsHeldBy = `
SELECT ${callColumns}, clock_timestamp() AS seen_at FROM worker.calls c
WHERE c.state = 'DISPATCHED' AND c.owner = ANY($1::text[])
LIMIT $2::int`;

export const callsToCancel = `
SELECT tenant, call_id FROM worker.calls
WHERE state = 'DISPATCHED' AND owner = $1::text AND cancel_requested`;

/** Rows of calls whose cancel came before their request: they end without ever being run. */
export const insertTombstones = `
INSERT INTO worker.calls (tenant, call_id, day, lane, session_id, session_seq, stream, reply,
  origin, traceparent, tracestate, state, cancel_requested)
SELECT tenant, call_id, day, 1, session_id, session_seq, false, reply, origin, traceparent,
  tracestate, 'QUEUED', true
FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::int[], $6::bytea[], $7::bytea[],
  $8::text[], $9::text[])
  AS i (tenant, call_id, day, session_id, session_seq, reply, origin, traceparent, tracestate)
ORDER BY tenant, call_id
ON CONFLICT (tenant, call_id, day) DO NOTHING`;

/**
 * Asks for calls to be cancelled. Their runs hear of it by the heartbeat. Those that wait are taken
 * by this process, to be ended by it at once; turns of sessions stay until the turns before them
 * have ended, so that the numbers of a session end in order. S4
 */
export const requestCancel = `
WITH asked AS (
  SELECT c.tenant, c.call_id, c.day, c.state = 'QUEUED' AND c.session_id IS NULL AS taken
  FROM worker.calls c
    JOIN unnest($1::text[], $2::text[], $3::date[]) AS i (tenant, call_id, day)
    ON c.tenant = i.tenant AND c.call_id = i.call_id AND ${sameDay('c', 'i.day')}
  WHERE c.state IN ('QUEUED', 'DISPATCHED') AND c.day BETWEEN $4::date AND $5::date
  ORDER BY c.tenant, c.call_id
  FOR NO KEY UPDATE OF c
), flagged AS (
  UPDATE worker.calls c
  SET cancel_requested = true,
    not_before = CASE WHEN c.state = 'QUEUED' THEN now() ELSE c.not_before END,
    state = CASE WHEN asked.taken THEN 'DISPATCHED' ELSE c.state END,
    owner = CASE WHEN asked.taken THEN $6::text ELSE c.owner END,
    attempt = c.attempt + asked.taken::int,
    dispatched_at = CASE WHEN asked.taken THEN now() ELSE c.dispatched_at END
  FROM asked
  WHERE c.tenant = asked.tenant AND c.call_id = asked.call_id AND ${sameDay('c', 'asked.day')}
    AND c.day BETWEEN $4::date AND $5::date
  RETURNING asked.taken, ${callColumns}
)
SELECT * FROM flagged WHERE taken`;

/**
 * Takes what waited beyond its time, to be ended at once, in the order in which the numbers of a
 * session end. S4. Only calls with such a time are in the index that this reads.
 */
export const takeExpiredCalls = takeCalls('c.expires_at <= now()', 'c.expires_at');

/**
 * Puts back what a statement gave this process whose answer never arrived: nothing of it was
 * sent. Young rows may be on their way to it.
 */
export const releaseUnheldCalls = `
UPDATE worker.calls
SET state = 'QUEUED', owner = NULL, attempt = attempt - 1
WHERE state = 'DISPATCHED' AND owner = $1::text
  AND tenant || '/' || call_id <> ALL($2::text[])
  AND dispatched_at < now() - $3 * interval '1 ms'`;

/** What a batch of settlements needs beyond the rows themselves: most need nothing more. */
export interface SettleNeeds {
  /** Some attempts are closed without ending their calls. */
  readonly attempts: boolean;
  /** Some calls are turns of sessions. */
  readonly sessions: boolean;
  readonly deadLetters: boolean;
}

/**
 * Settles attempts, whatever their ends are. S2, S3. A batch is a statement without the parts that
 * it has no rows for: each part would read all of the batch again.
 *
 * The fence is written so that only the primary key serves it: by `calls_owner`, which a plan for
 * any values prefers, each row would look at all that its owner holds (500 × 1,000: 0.4 s).
 */
export function settleCalls(needs: SettleNeeds): string {
  const parts = [
    settled,
    told,
    ...(needs.attempts ? [closed] : []),
    ...(needs.deadLetters ? [dead] : []),
    ...(needs.sessions ? [conversation, turns] : []),
  ];
  return `WITH ${parts.join(', ')} SELECT tenant, call_id FROM settled`;
}

const settled = `settled AS (
  UPDATE worker.calls c
  SET state = i.state, owner = NULL, attempt = i.next_attempt, failures = i.failures,
    redispatches = i.redispatches,
    not_before = CASE WHEN i.delay_ms IS NULL THEN c.not_before
      ELSE now() + i.delay_ms * interval '1 ms' END,
    http_status = i.http_status, request_id = i.request_id, code = i.code,
    completion_type = i.completion_type, completion = i.completion,
    finished_at = CASE WHEN i.completion IS NOT NULL THEN to_timestamp(i.ended_ms / 1000) END
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::int[],
    $7::int[], $8::int[], $9::float8[], $10::float8[], $11::text[], $12::text[], $13::int[],
    $14::text[], $15::text[], $16::text[], $17::jsonb[], $18::bytea[], $19::bytea[],
    $20::text[], $21::int[], $22::bytea[], $23::date[], $27::text[])
    AS i (tenant, call_id, owner, attempt, state, next_attempt, failures, redispatches, delay_ms,
      ended_ms, outcome, code, http_status, request_id, completion_type, message_id,
      headers, completion, message, session_id, session_seq, turn, day, workflow_key)
  WHERE c.tenant = i.tenant AND c.call_id = i.call_id AND ${sameDay('c', 'i.day')}
    AND c.day BETWEEN $24::date AND $25::date
    AND CASE c.state WHEN 'DISPATCHED' THEN (c.owner, c.attempt) = (i.owner, i.attempt) END
  RETURNING c.tenant, c.call_id, c.day, c.dispatched_at, i.attempt AS number, i.ended_ms, i.outcome,
    i.code, i.http_status, i.request_id, i.message_id, i.headers,
    i.completion IS NOT NULL AS ended, coalesce(i.message, i.completion) AS message,
    i.session_id, i.session_seq, i.turn, i.workflow_key,
    CASE WHEN i.workflow_key IS NOT NULL THEN c.day END AS workflow_day
)`;

const told = `told AS (
  INSERT INTO worker.outbox (id, topic, key, headers, value)
  SELECT message_id, CASE WHEN workflow_key IS NULL THEN $26::text ELSE $28::text END,
    coalesce(workflow_key, call_id), headers, message
  FROM settled WHERE ended
  ON CONFLICT (id) DO NOTHING
)`;

const closed = `closed AS (
  INSERT INTO worker.attempts (tenant, call_id, day, number, outcome, code, http_status, request_id,
    started_at, ended_at)
  SELECT tenant, call_id, day, number, outcome, code, http_status, request_id,
    dispatched_at, greatest(to_timestamp(ended_ms / 1000), dispatched_at)
  FROM settled WHERE NOT ended AND outcome IS NOT NULL
)`;

const dead = `dead AS (
  INSERT INTO worker.outbox (id, topic, key, headers, value)
  SELECT d.id, d.topic, d.key, d.headers, d.value
  FROM unnest($29::text[], $30::text[], $31::text[], $32::text[], $33::text[], $34::jsonb[],
    $35::bytea[]) AS d (tenant, call_id, id, topic, key, headers, value)
  JOIN settled s USING (tenant, call_id)
  ON CONFLICT (id) DO NOTHING
)`;

const conversation = `conversation AS (
  INSERT INTO worker.sessions AS known (tenant, session_id, last_seq, day, used_on)
  SELECT tenant, session_id, max(session_seq), max(workflow_day),
    CASE WHEN max(workflow_day) IS NULL THEN (now() AT TIME ZONE 'UTC')::date END
  FROM settled
  WHERE ended AND session_id IS NOT NULL
  GROUP BY tenant, session_id
  ORDER BY tenant, session_id
  ON CONFLICT (tenant, session_id)
  DO UPDATE SET last_seq = greatest(known.last_seq, excluded.last_seq), used_on = excluded.used_on
)`;

const turns = `turns AS (
  INSERT INTO worker.session_turns (tenant, session_id, seq, messages, day)
  SELECT tenant, session_id, session_seq, turn, workflow_day FROM settled WHERE turn IS NOT NULL
  ON CONFLICT DO NOTHING
)`;

/**
 * What became of settlements that found no row of theirs. An end that was written before, with only
 * the answer lost, is the same end: its usage is in its completion. What is left was lost with its
 * lease, and its spend is noted.
 */
export const noteUnsettled = `
WITH unsettled AS (
  SELECT i.*, EXISTS (
      SELECT FROM worker.calls c
      WHERE c.tenant = i.tenant AND c.call_id = i.call_id AND c.day = i.day
        AND c.state = i.state AND c.attempt = i.attempt
        AND c.request_id IS NOT DISTINCT FROM i.request_id
        AND c.finished_at = to_timestamp(i.ended_ms / 1000)) AS before
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::float8[], $7::int[],
    $8::text[], $9::text[], $10::jsonb[], $11::date[])
    AS i (tenant, call_id, owner, attempt, state, ended_ms, http_status, request_id, model, usage,
      day)
), late AS (
  INSERT INTO worker.late_usage (tenant, call_id, attempt, owner, http_status, request_id, model,
    usage)
  SELECT tenant, call_id, attempt, owner, http_status, request_id, model, usage
  FROM unsettled
  WHERE usage IS NOT NULL AND NOT before
)
SELECT tenant, call_id FROM unsettled WHERE before`;

/** The conversations before some turns, unless too long to be sent, and how far they are. */
export const sessionTurns = `
SELECT i.n::int, size.bytes, coalesce(s.last_seq, 0) AS last_seq, t.messages
FROM unnest($1::text[], $2::text[], $3::int[])
    WITH ORDINALITY AS i (tenant, session_id, seq, n)
  LEFT JOIN worker.sessions s USING (tenant, session_id)
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(octet_length(t.messages)), 0)::float8 AS bytes
    FROM worker.session_turns t
    WHERE t.tenant = i.tenant AND t.session_id = i.session_id AND t.seq < i.seq) size
  LEFT JOIN LATERAL (
    SELECT t.seq, t.messages FROM worker.session_turns t
    WHERE size.bytes <= $4::float8
      AND t.tenant = i.tenant AND t.session_id = i.session_id AND t.seq < i.seq) t ON true
ORDER BY i.n, t.seq`;

export const countWaiting = `
SELECT count(*)::int AS waiting FROM worker.calls WHERE state = 'QUEUED'`;
