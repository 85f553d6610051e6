import { sameDay } from '@millrace/postgres';

/**
 * The rows of a batch's workflows, the entries of those of its events that are known, and the
 * database's time: one statement, so one snapshot.
 */
export const loadSql = `
SELECT w.tenant, w.id, NULL AS event_id, w.version, w.kind, w.schema_version, w.status,
  w.parked_code, w.request, w.state AS body, w.traceparent, w.tracestate, 0::float8 AS at_ms
FROM unnest($1::text[], $2::text[], $3::date[]) AS k (tenant, id, day)
  JOIN orchestrator.workflows AS w ON w.tenant = k.tenant AND w.id = k.id AND w.day = k.day
WHERE w.day BETWEEN $8::date AND $9::date
UNION ALL
SELECT j.tenant, j.id, j.event_id, j.version, NULL, NULL, NULL, NULL, NULL, j.commands, NULL, NULL,
  extract(epoch FROM j.at)::float8 * 1000
FROM unnest($4::text[], $5::text[], $6::date[], $7::text[]) AS e (tenant, id, day, event_id)
  JOIN orchestrator.journal AS j ON j.tenant = e.tenant AND j.id = e.id
    AND j.event_id = e.event_id AND j.day = e.day
WHERE j.day BETWEEN $8::date AND $9::date
UNION ALL
SELECT '', '', NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  extract(epoch FROM clock_timestamp())::float8 * 1000`;

/**
 * Writes a batch of versions. A row is written if it is as it was loaded; what belongs to it is
 * written with it or not at all. Rows come sorted by key, and are locked in that order.
 */
export const writeSql = `
WITH updated AS (
  UPDATE orchestrator.workflows AS w
  SET version = c.version, schema_version = c.schema_version, status = c.status,
    parked_code = c.parked_code, state = coalesce(c.state, w.state),
    ended_at = CASE WHEN c.ended THEN coalesce(w.ended_at, now()) END
  FROM unnest($1::text[], $2::text[], $3::date[], $4::int[], $5::text[], $6::int[],
    $7::int[], $8::text[], $9::text[], $10::bytea[], $11::boolean[])
    AS c (tenant, id, day, was, was_parked, version, schema_version, status, parked_code, state,
      ended)
  WHERE w.tenant = c.tenant AND w.id = c.id AND ${sameDay('w', 'c.day')}
    AND w.version = c.was AND w.parked_code IS NOT DISTINCT FROM c.was_parked
    AND w.day BETWEEN $12::date AND $13::date
  RETURNING w.tenant, w.id
), begun AS (
  INSERT INTO orchestrator.workflows AS w (tenant, id, day, kind, schema_version, version, status,
    parked_code, request, state, traceparent, tracestate, ended_at)
  SELECT tenant, id, day, kind, schema_version, version, status, parked_code, request, state,
    traceparent, tracestate, CASE WHEN ended THEN now() END
  FROM unnest($14::text[], $15::text[], $16::date[], $17::text[], $18::int[], $19::int[],
    $20::text[], $21::text[], $22::bytea[], $23::bytea[], $24::text[], $25::text[], $26::boolean[])
    AS n (tenant, id, day, kind, schema_version, version, status, parked_code, request, state,
      traceparent, tracestate, ended)
  ON CONFLICT (tenant, id, day) DO NOTHING
  RETURNING w.tenant, w.id
), won AS (
  SELECT tenant, id FROM updated UNION ALL SELECT tenant, id FROM begun
), journaled AS (
  INSERT INTO orchestrator.journal (tenant, id, day, version, event_id, event, commands, at)
  SELECT e.tenant, e.id, e.day, e.version, e.event_id, e.event, e.commands, e.at
  FROM unnest($27::text[], $28::text[], $29::date[], $30::int[], $31::text[], $32::bytea[],
    $33::bytea[], $34::timestamptz[])
    AS e (tenant, id, day, version, event_id, event, commands, at)
    JOIN won ON won.tenant = e.tenant AND won.id = e.id
), cleared AS (
  DELETE FROM orchestrator.timers AS t
  USING unnest($35::text[], $36::text[], $37::text[], $38::int[]) AS c (tenant, id, name, version)
    JOIN won ON won.tenant = c.tenant AND won.id = c.id
  WHERE t.tenant = c.tenant AND t.id = c.id AND t.name = coalesce(c.name, t.name)
    AND t.version = coalesce(c.version, t.version)
), wound AS (
  INSERT INTO orchestrator.timers AS t (tenant, id, name, day, version, due_at, not_before)
  SELECT s.tenant, s.id, s.name, s.day, s.version, s.at, s.at
  FROM unnest($39::text[], $40::text[], $41::text[], $42::date[], $43::int[], $44::timestamptz[])
    AS s (tenant, id, name, day, version, at)
    JOIN won ON won.tenant = s.tenant AND won.id = s.id
  ON CONFLICT (tenant, id, name) DO UPDATE
  SET version = excluded.version, due_at = excluded.due_at, not_before = excluded.not_before
), told AS (
  INSERT INTO orchestrator.outbox (id, topic, key, headers, value)
  SELECT o.message_id, o.topic, o.key, o.headers, o.value
  FROM unnest($45::text[], $46::text[], $47::text[], $48::text[], $49::text[], $50::jsonb[],
    $51::bytea[]) AS o (tenant, id, message_id, topic, key, headers, value)
    JOIN won ON won.tenant = o.tenant AND won.id = o.id
  ON CONFLICT (id) DO NOTHING
), parked AS (
  INSERT INTO orchestrator.parked_events (tenant, id, day, event_id, event)
  SELECT p.tenant, p.id, p.day, p.event_id, p.event
  FROM unnest($52::text[], $53::text[], $54::date[], $55::text[], $56::bytea[])
    WITH ORDINALITY AS p (tenant, id, day, event_id, event, ordinal)
    JOIN won ON won.tenant = p.tenant AND won.id = p.id
  ORDER BY p.ordinal
  ON CONFLICT DO NOTHING
)
SELECT tenant, id FROM won`;

/** Timers of which nothing came, since their workflow has gone on or gone. */
export const dropTimersSql = `
DELETE FROM orchestrator.timers AS t
USING unnest($1::text[], $2::text[], $3::text[], $4::int[]) AS d (tenant, id, name, version)
WHERE t.tenant = d.tenant AND t.id = d.id AND t.name = d.name AND t.version = d.version`;

export const dropParkedEventsSql = `
DELETE FROM orchestrator.parked_events AS p
USING unnest($1::text[], $2::text[], $3::text[]) AS d (tenant, id, event_id)
WHERE p.tenant = d.tenant AND p.id = d.id AND p.event_id = d.event_id`;

/** Due ones, given to whoever asks for a while: if it dies, they are due again. */
export const takeTimersSql = `
WITH due AS (
  SELECT tenant, id, name FROM orchestrator.timers
  WHERE not_before <= clock_timestamp()
  ORDER BY not_before LIMIT $1::int
  FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE orchestrator.timers AS t
  SET not_before = clock_timestamp() + $2::int * interval '1 ms'
  FROM due WHERE t.tenant = due.tenant AND t.id = due.id AND t.name = due.name
  RETURNING t.tenant, t.id, t.name, t.day, t.version, t.due_at
)
SELECT t.tenant, t.id, t.name, t.day::text AS day, t.version,
  (extract(epoch FROM t.due_at) * 1000)::float8 AS due_at_ms, w.traceparent, w.tracestate
FROM taken AS t LEFT JOIN orchestrator.workflows AS w
  ON w.tenant = t.tenant AND w.id = t.id AND w.day = t.day
ORDER BY t.due_at`;

export const nextTimerSql = `
SELECT (extract(epoch FROM min(not_before) - clock_timestamp()) * 1000)::float8 AS due_in_ms
FROM orchestrator.timers`;

/**
 * What waited beside its workflow after a position, for a code to be mended ($1), or for a release
 * that knows its kind and version ($2, $3). At most so many ($5), and so many bytes ($6) but for
 * the first. Where one before that position still waits it was tried, and parked again: what comes
 * after it waits with it. Ordered by the column, since its text puts 1000 before 999.
 */
export const parkedEventsSql = `
WITH waiting AS (
  SELECT p.tenant, p.id, p.day, p.position, p.event, w.traceparent, w.tracestate
  FROM orchestrator.parked_events AS p JOIN orchestrator.workflows AS w
    ON w.tenant = p.tenant AND w.id = p.id AND w.day = p.day
  WHERE p.position > $4::bigint AND (w.parked_code IS NULL OR w.parked_code = ANY($1::text[])
    OR EXISTS (
      SELECT FROM unnest($2::text[], $3::int[]) AS r (kind, schema_version)
      WHERE r.kind = w.kind AND (r.schema_version = w.schema_version OR w.version = 0)
        AND w.parked_code = 'unknown_workflow_version'))
    AND NOT EXISTS (SELECT FROM orchestrator.parked_events AS before
      WHERE before.tenant = p.tenant AND before.id = p.id AND before.day = p.day
        AND before.position <= $4::bigint)
  ORDER BY p.position LIMIT $5::int
), page AS (
  SELECT *, sum(octet_length(event)) OVER (ORDER BY position) - octet_length(event) AS before
  FROM waiting
)
SELECT tenant, id, day::text AS day, position::text AS position, event, traceparent, tracestate
FROM page WHERE before < $6::bigint ORDER BY page.position`;

export const answersSql = `
SELECT j.version, j.commands, (extract(epoch FROM j.at) * 1000)::float8 AS at_ms
FROM orchestrator.journal AS j
WHERE j.tenant = $1 AND j.id = $2 AND j.day = $3::date AND j.version = ANY ($4::int[])
ORDER BY j.version`;

/** Sizes are known without reading the bodies: what does not fit is not read. */
export const journalSql = `
SELECT version, event, commands, at_ms, bytes::float8 AS bytes, next
FROM (
  SELECT version, event, commands, (extract(epoch FROM at) * 1000)::float8 AS at_ms,
    row_number() OVER w AS place, lead(version) OVER w AS next,
    sum(octet_length(event) + octet_length(commands)) OVER w AS bytes
  FROM orchestrator.journal
  WHERE tenant = $1 AND id = $2 AND day = $3::date AND version >= $4::int
  WINDOW w AS (ORDER BY version)
  ORDER BY version LIMIT $5::int
) AS page
WHERE place = 1 OR bytes <= $6::bigint
ORDER BY version`;

export const findSql = `
SELECT tenant, id, version, kind, schema_version, status, parked_code, request, state AS body
FROM orchestrator.workflows WHERE tenant = $1 AND id = $2 AND day = $3::date`;

export const nowSql = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at_ms`;

/** What Postgres refuses is parked; a row that was not there is one without a state. */
export const parkRefusedSql = `
WITH begun AS (
  INSERT INTO orchestrator.workflows (tenant, id, day, kind, schema_version, version, status,
    parked_code, request, state)
  SELECT $1, $2, $3::date, $4, 0, 0, 'parked', 'bad_row', $5::bytea, 'null'::bytea
  WHERE $5::bytea IS NOT NULL
  ON CONFLICT (tenant, id, day) DO NOTHING
  RETURNING id
), parked AS (
  UPDATE orchestrator.workflows SET status = 'parked', parked_code = 'bad_row'
  WHERE tenant = $1 AND id = $2 AND day = $3::date AND ended_at IS NULL
)
INSERT INTO orchestrator.timers (tenant, id, name, day, version, due_at, not_before)
SELECT $1, $2, t.name, $3::date, 0, t.at, t.at
FROM begun, unnest($6::text[], $7::timestamptz[]) AS t (name, at)
ON CONFLICT (tenant, id, name) DO NOTHING`;

export const keepRefusedSql = `
INSERT INTO orchestrator.parked_events (tenant, id, day, event_id, event)
SELECT w.tenant, w.id, w.day, $4, $5::bytea FROM orchestrator.workflows AS w
WHERE w.tenant = $1 AND w.id = $2 AND w.day = $3::date
ON CONFLICT DO NOTHING`;

/** Beyond this the exact number helps nobody, and counting it costs. */
const openCountMax = 100_000;

export const countOpenSql = `
SELECT status, count(*)::int AS count
FROM (SELECT status FROM orchestrator.workflows WHERE ended_at IS NULL LIMIT ${openCountMax}) AS w
GROUP BY status`;
