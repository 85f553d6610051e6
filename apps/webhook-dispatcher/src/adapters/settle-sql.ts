import { assertNever, daysAround, deadLetterTopicOf, type PayloadCodec } from '@millrace/contracts';
import { outboxColumns, sameDay } from '@millrace/postgres';

import { deadLetterHeadersOf } from '../core/dead-letter-headers.ts';
import type { Delivery, RecordPlace } from '../core/delivery.ts';
import type { SettledLane } from '../core/disable-policy.ts';
import type { LaneChange } from '../core/lane-health.ts';
import { waitsAgain, type Attempt, type DeadCode, type Outcome } from '../core/outcome.ts';
import type { Settlement } from '../ports.ts';

/** What a batch of settlements needs beyond the rows themselves: most need nothing more. */
export interface SettleNeeds {
  /** Something waits again, or an attempt says something of its lane. */
  readonly lanes: boolean;
  readonly letters: boolean;
  readonly notices: boolean;
}

/**
 * Ends an attempt: the row, the attempt's log line, what it changes in its lane, and for a dead
 * delivery its dead letter or its notice, all fenced by the owner. The dead letter is left to the
 * outbox's sweep: it carries the record's own bytes, which so never leave the database before they
 * go to Kafka.
 *
 * The fence is the owner and the attempts before this one: the same process may hold the row again,
 * for the next, when a settlement whose answer was lost is repeated. It is written so that no index
 * serves it: by that of owners each row would look at all that its owner held since the vacuum.
 *
 * A lane is written when a delivery of it waits again, or when the attempt says something of it; a
 * healthy one that delivers costs nothing. Differences are added to what the row says by then.
 *
 * A batch is a statement without the parts that it has no rows for: each would read it again.
 */
export function settleSql(needs: SettleNeeds): string {
  const parts = [
    settled,
    logged,
    ...(needs.letters ? [letters] : []),
    ...(needs.notices ? [notices] : []),
    ...(needs.lanes ? [touched, lane] : []),
  ];
  const answer = needs.lanes ? lanesAfter : 'SELECT FROM settled LIMIT 0';
  return `WITH ${parts.join(', ')} ${answer}`;
}

export function settleNeeds(items: readonly Settlement[]): SettleNeeds {
  return {
    lanes: items.some(({ lane, outcome }) => lane !== null || waitsAgain(outcome)),
    letters: items.some(
      ({ delivery, outcome }) => outcome.kind === 'dead' && delivery.source !== null,
    ),
    notices: items.some(({ notice }) => notice !== null),
  };
}

const settled = `settled AS (
    UPDATE dispatcher.deliveries AS d SET
      state = o.state,
      owner = NULL,
      attempts = d.attempts + o.counted::int,
      not_before = now() + o.after_ms * interval '1 ms',
      code = o.code,
      ended_at = CASE WHEN o.state = 'waiting' THEN NULL ELSE now() END,
      record_value = CASE WHEN o.state = 'waiting' THEN d.record_value END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::float8[],
      $6::text[], $7::text[], $8::jsonb[], $9::text[], $10::text[], $11::int[], $12::bytea[],
      $13::real[], $14::real[], $15::real[], $16::real[], $17::real[], $18::date[], $21::int[],
      $22::jsonb[])
      AS o (id, owner, state, counted, after_ms, code, dead_topic, dead_headers, outcome, class,
        status, body_excerpt, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, day, made, lane)
    WHERE d.id = o.id AND ${sameDay('d', 'o.day')} AND d.day BETWEEN $19::date AND $20::date
      AND CASE d.state WHEN 'sending'
        THEN (d.owner, d.attempts - d.attempts_before) = (o.owner, o.made) END
    RETURNING d.id, d.day, d.tenant, d.origin, d.state, d.not_before, d.attempts, d.record_key,
      d.record_headers, old.record_value, o.counted, o.dead_topic, o.dead_headers, o.outcome,
      o.class, o.status, o.body_excerpt, o.dns_ms, o.connect_ms, o.tls_ms, o.first_byte_ms,
      o.total_ms, o.lane
  )`;

const logged = `logged AS (
    INSERT INTO dispatcher.delivery_attempts (delivery_id, day, number, tenant, outcome, class,
      status, body_excerpt, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, started_at)
    SELECT id, day, attempts, tenant, outcome, class, status, body_excerpt, dns_ms, connect_ms,
      tls_ms, first_byte_ms, total_ms, now() - total_ms * interval '1 ms'
    FROM settled WHERE counted
    ON CONFLICT DO NOTHING
  )`;

const letters = `letters AS (
    INSERT INTO dispatcher.outbox (id, topic, key, headers, value)
    SELECT dead_topic || '/' || coalesce(record_headers ->> 'ce_id', record_key, ''),
      dead_topic, record_key, record_headers || dead_headers, record_value
    FROM settled WHERE dead_topic IS NOT NULL AND record_value IS NOT NULL
    ON CONFLICT (id) DO NOTHING
  )`;

const notices = `notices AS (
    INSERT INTO dispatcher.outbox (id, topic, key, headers, value)
    SELECT n.id, n.topic, n.key, n.headers, n.value
    FROM unnest($23::text[], $24::text[], $25::text[], $26::text[], $27::jsonb[], $28::bytea[])
      AS n (of, id, topic, key, headers, value) JOIN settled AS s ON s.id = n.of
    ON CONFLICT (id) DO NOTHING
  )`;

const touched = `touched AS MATERIALIZED (
    SELECT s.tenant, s.origin,
      min(s.not_before) FILTER (WHERE s.state = 'waiting') AS due_at,
      count(*) FILTER (WHERE (s.lane ->> 'failed')::boolean)::int AS failed,
      coalesce(bool_or((s.lane ->> 'succeeded')::boolean), false) AS succeeded,
      count(*) FILTER (WHERE s.lane ->> 'timeoutsInARow' = 'more')::int AS timeouts,
      coalesce(bool_or(s.lane ->> 'timeoutsInARow' = 'none'), false) AS no_timeout,
      count(*) FILTER (WHERE s.lane ->> 'blockedInARow' = 'more')::int AS blocked,
      coalesce(bool_or(s.lane ->> 'blockedInARow' = 'none'), false) AS not_blocked,
      max((s.lane #>> '{close,forMs}')::float8) AS close_ms,
      coalesce(bool_or(s.lane #>> '{close,why}' = 'breaker'), false) AS breaks,
      max((s.lane ->> 'opened')::int) AS opened,
      (array_agg(s.lane ->> 'cap') FILTER (WHERE s.lane ->> 'cap' IS NOT NULL))[1] AS cap,
      coalesce(bool_or((s.lane ->> 'probeEnded')::boolean), false) AS probe_ended,
      coalesce(bool_or((s.lane ->> 'reopens')::boolean), false) AS reopens,
      count(s.lane) > 0 AS is_told
    FROM settled AS s
    WHERE s.state = 'waiting' OR s.lane IS NOT NULL
    GROUP BY s.tenant, s.origin
  )`;

const lane = `lane AS (
    INSERT INTO dispatcher.lanes AS l (tenant, origin, due_at, woken, failures, failing_since,
      last_success_at, timeouts_in_a_row, blocked_in_a_row, closed_until, closed_why, opened,
      in_flight_max)
    SELECT tenant, origin, due_at, 1, CASE WHEN succeeded THEN 0 ELSE failed END,
      CASE WHEN failed > 0 AND NOT succeeded THEN now() END, CASE WHEN succeeded THEN now() END,
      timeouts, blocked, now() + close_ms * interval '1 ms',
      CASE WHEN breaks THEN 'breaker' WHEN close_ms IS NOT NULL THEN 'retry_after' END,
      coalesce(opened, 0), nullif(cap, 'full')::int
    FROM touched ORDER BY tenant, origin
    ON CONFLICT (tenant, origin) DO UPDATE SET (due_at, woken, failures, failing_since,
      last_success_at, failing_notified_at, timeouts_in_a_row, blocked_in_a_row, closed_until,
      closed_why, opened, probing_until, in_flight_max, changed_at) = (
      SELECT least(l.due_at, t.due_at), l.woken + 1,
        CASE WHEN t.succeeded THEN 0 ELSE l.failures + t.failed END,
        CASE WHEN t.succeeded THEN NULL
          WHEN t.failed > 0 THEN coalesce(l.failing_since, now()) ELSE l.failing_since END,
        CASE WHEN t.succeeded THEN now() ELSE l.last_success_at END,
        CASE WHEN t.succeeded THEN NULL ELSE l.failing_notified_at END,
        CASE WHEN t.no_timeout THEN 0 ELSE l.timeouts_in_a_row END + t.timeouts,
        CASE WHEN t.not_blocked THEN 0 ELSE l.blocked_in_a_row END + t.blocked,
        CASE WHEN l.closed_why IN ('paused', 'disabled') THEN l.closed_until
          WHEN t.close_ms IS NOT NULL
            THEN greatest(l.closed_until, now() + t.close_ms * interval '1 ms')
          WHEN t.reopens THEN NULL
          ELSE l.closed_until END,
        CASE WHEN l.closed_why IN ('paused', 'disabled') THEN l.closed_why
          WHEN t.breaks THEN 'breaker'
          WHEN t.close_ms IS NOT NULL THEN coalesce(l.closed_why, 'retry_after')
          WHEN t.reopens THEN NULL
          ELSE l.closed_why END,
        coalesce(t.opened, l.opened),
        CASE WHEN t.probe_ended THEN NULL ELSE l.probing_until END,
        CASE WHEN t.cap IS NULL THEN l.in_flight_max ELSE nullif(t.cap, 'full')::int END,
        now()
      FROM touched AS t WHERE t.tenant = l.tenant AND t.origin = l.origin)
    RETURNING l.*
  )`;

const lanesAfter = `SELECT lane.tenant, lane.origin, lane.failures, lane.failing_since,
    lane.last_success_at, lane.blocked_in_a_row, lane.opened, lane.failing_notified_at
  FROM lane JOIN touched USING (tenant, origin) WHERE touched.is_told`;

export interface SettledLaneRow {
  readonly tenant: string;
  readonly origin: string;
  readonly failures: number;
  readonly failing_since: Date | null;
  readonly last_success_at: Date | null;
  readonly blocked_in_a_row: number;
  readonly opened: number;
  readonly failing_notified_at: Date | null;
}

export function settledLaneOfRow(row: SettledLaneRow): SettledLane {
  return {
    failures: row.failures,
    failingSinceMs: row.failing_since?.getTime() ?? null,
    lastSuccessAtMs: row.last_success_at?.getTime() ?? null,
    blockedInARow: row.blocked_in_a_row,
    opened: row.opened,
    isNotified: row.failing_notified_at !== null,
  };
}

/** One array a column, in the order of the statement. */
export function settleColumns(
  items: readonly Settlement[],
  codec: PayloadCodec,
  at: Date,
): unknown[] {
  const rows = items.map((item) => ({ ...item, ...changeOf(item) }));
  const excerptOf = ({ delivery, attempt }: (typeof rows)[number]) => {
    const excerpt = attempt?.bodyExcerpt ?? null;
    return excerpt && codec.encode(excerpt, { tenant: delivery.tenant, medium: 'table' });
  };
  const days = rows.map(({ delivery }) => delivery.day);
  const noticed = rows.flatMap(({ delivery, notice }) =>
    notice === null ? [] : [{ of: delivery.id, notice }],
  );
  return [
    rows.map(({ delivery }) => delivery.id),
    rows.map(({ delivery }) => delivery.owner),
    rows.map(({ state }) => state),
    rows.map(({ attempt }) => attempt !== null),
    rows.map(({ afterMs }) => afterMs),
    rows.map(({ code }) => code),
    rows.map(({ letter }) => letter && deadLetterTopicOf(letter.source.topic)),
    rows.map((row) => row.letter && deadHeaders(row, row.letter, at)),
    rows.map(({ outcome }) => loggedKindOf(outcome)),
    rows.map(({ attempt }) => attempt?.class ?? null),
    rows.map(({ attempt }) => attempt?.status ?? null),
    rows.map(excerptOf),
    rows.map(({ attempt }) => attempt?.timings.dnsMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.connectMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.tlsMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.firstByteMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.totalMs ?? 0),
    days,
    ...daysAround(days),
    rows.map(({ delivery }) => delivery.attemptsMade),
    rows.map(({ lane }) => laneJson(lane)),
    ...(noticed.length === 0
      ? []
      : [
          noticed.map(({ of }) => of),
          ...outboxColumns(noticed.map(({ notice }) => notice)),
        ]),
  ];
}

/** The log tells what the receiver did: one that is gone has stopped this as well. */
function loggedKindOf({ kind }: Outcome): string {
  return kind === 'skipped' ? 'stopped' : kind;
}

function laneJson(lane: LaneChange | null): string | null {
  return lane && JSON.stringify(lane);
}

/** A dead letter to be written, for a delivery that was made of a record. */
interface Letter {
  readonly source: RecordPlace;
  readonly code: DeadCode;
}

interface Change {
  readonly state: 'waiting' | 'delivered' | 'stopped' | 'dead' | 'skipped_disabled';
  readonly afterMs: number;
  readonly code: string | null;
  readonly letter: Letter | null;
  readonly attempt: Attempt | null;
}

function changeOf({ delivery, outcome }: { delivery: Delivery; outcome: Outcome }): Change {
  const ended = { afterMs: 0, code: null, letter: null };
  switch (outcome.kind) {
    case 'delivered':
      return { ...ended, state: 'delivered', attempt: outcome.attempt };
    case 'stopped':
      return { ...ended, state: 'stopped', code: outcome.code, attempt: outcome.attempt };
    case 'skipped':
      return {
        ...ended,
        state: 'skipped_disabled',
        code: 'endpoint_disabled',
        attempt: outcome.attempt,
      };
    case 'dead': {
      const { code, attempt } = outcome;
      const { source } = delivery;
      return { ...ended, state: 'dead', code, letter: source && { source, code }, attempt };
    }
    case 'retry':
      return { ...ended, state: 'waiting', afterMs: outcome.afterMs, attempt: outcome.attempt };
    case 'postponed':
      return { ...ended, state: 'waiting', afterMs: outcome.afterMs, attempt: null };
    default:
      return assertNever(outcome);
  }
}

function deadHeaders(
  { delivery, attempt }: { delivery: Delivery; attempt: Attempt | null },
  { code, source }: Letter,
  at: Date,
): string {
  const attempts = delivery.attemptsMade + (attempt === null ? 0 : 1);
  return JSON.stringify(deadLetterHeadersOf(source, { code, attempts, at }));
}
