import { assertNever, daysAround, deadLetterTopicOf, type PayloadCodec } from '@millrace/contracts';

import { deadLetterHeadersOf } from '../core/dead-letter-headers.ts';
import type { Delivery } from '../core/delivery.ts';
import type { Attempt, DeadCode, Outcome } from '../core/outcome.ts';

export interface Settlement {
  readonly delivery: Delivery;
  readonly outcome: Outcome;
}

/**
 * Ends an attempt: the row, the attempt's log line and, for a dead delivery, its dead letter, all
 * fenced by the owner. The dead letter is left to the outbox's sweep: it carries the record's own
 * bytes, which so never leave the database before they go to Kafka.
 *
 * The fence is the owner and the attempts before this one: the same process may hold the row again,
 * for the next, when a settlement whose answer was lost is repeated. It is written so that no index
 * serves it: by that of owners each row would look at all that its owner held since the vacuum.
 */
export const settleSql = `
  WITH o AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::float8[],
      $6::text[], $7::text[], $8::jsonb[], $9::text[], $10::text[], $11::int[], $12::bytea[],
      $13::real[], $14::real[], $15::real[], $16::real[], $17::date[], $20::int[])
      AS o (id, owner, state, counted, after_ms, code, dead_topic, dead_headers, outcome, class,
        status, body_excerpt, dns_ms, connect_ms, first_byte_ms, total_ms, day, made)
  ), settled AS (
    UPDATE dispatcher.deliveries AS d SET
      state = o.state,
      owner = NULL,
      attempts = d.attempts + o.counted::int,
      not_before = now() + o.after_ms * interval '1 ms',
      code = o.code,
      ended_at = CASE WHEN o.state = 'waiting' THEN NULL ELSE now() END,
      record_value = CASE WHEN o.state = 'waiting' THEN d.record_value END
    FROM o WHERE d.id = o.id AND d.day = o.day AND d.day BETWEEN $18::date AND $19::date
      AND CASE d.state WHEN 'sending'
        THEN (d.owner, d.attempts - d.attempts_before) = (o.owner, o.made) END
    RETURNING d.id, d.day, d.tenant, d.attempts, d.record_key, d.record_headers, old.record_value
  ), logged AS (
    INSERT INTO dispatcher.delivery_attempts (delivery_id, day, number, tenant, outcome, class,
      status, body_excerpt, dns_ms, connect_ms, first_byte_ms, total_ms, started_at)
    SELECT s.id, s.day, s.attempts, s.tenant, o.outcome, o.class, o.status, o.body_excerpt,
      o.dns_ms, o.connect_ms, o.first_byte_ms, o.total_ms, now() - o.total_ms * interval '1 ms'
    FROM settled AS s JOIN o USING (id) WHERE o.counted
    ON CONFLICT DO NOTHING
  )
  INSERT INTO dispatcher.outbox (id, topic, key, headers, value)
  SELECT o.dead_topic || '/' || coalesce(s.record_headers ->> 'ce_id', s.record_key, ''),
    o.dead_topic, s.record_key, s.record_headers || o.dead_headers, s.record_value
  FROM settled AS s JOIN o USING (id) WHERE o.dead_topic IS NOT NULL
  ON CONFLICT (id) DO NOTHING`;

/** One array a column, in the order of the statement. */
export function settleColumns(
  items: readonly Settlement[],
  codec: PayloadCodec,
  at: Date,
): unknown[] {
  const rows = items.map((item) => ({ ...item, ...changeOf(item.outcome) }));
  const excerptOf = ({ delivery, attempt }: (typeof rows)[number]) => {
    const excerpt = attempt?.bodyExcerpt ?? null;
    return excerpt && codec.encode(excerpt, { tenant: delivery.tenant, medium: 'table' });
  };
  const days = rows.map(({ delivery }) => delivery.day);
  return [
    rows.map(({ delivery }) => delivery.id),
    rows.map(({ delivery }) => delivery.owner),
    rows.map(({ state }) => state),
    rows.map(({ attempt }) => attempt !== null),
    rows.map(({ afterMs }) => afterMs),
    rows.map(({ code }) => code),
    rows.map(({ delivery, dead }) => dead && deadLetterTopicOf(delivery.source.topic)),
    rows.map((row) => row.dead && deadHeaders(row, row.dead, at)),
    rows.map(({ outcome }) => outcome.kind),
    rows.map(({ attempt }) => attempt?.class ?? null),
    rows.map(({ attempt }) => attempt?.status ?? null),
    rows.map(excerptOf),
    rows.map(({ attempt }) => attempt?.timings.dnsMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.connectMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.firstByteMs ?? null),
    rows.map(({ attempt }) => attempt?.timings.totalMs ?? 0),
    days,
    ...daysAround(days),
    rows.map(({ delivery }) => delivery.attemptsMade),
  ];
}

interface Change {
  readonly state: 'waiting' | 'delivered' | 'stopped' | 'dead';
  readonly afterMs: number;
  readonly code: string | null;
  readonly dead: DeadCode | null;
  readonly attempt: Attempt | null;
}

function changeOf(outcome: Outcome): Change {
  const ended = { afterMs: 0, code: null, dead: null };
  switch (outcome.kind) {
    case 'delivered':
      return { ...ended, state: 'delivered', attempt: outcome.attempt };
    case 'stopped':
      return { ...ended, state: 'stopped', code: 'delivery_stopped', attempt: outcome.attempt };
    case 'dead': {
      const { code, attempt } = outcome;
      return { ...ended, state: 'dead', code, dead: code, attempt };
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
  code: DeadCode,
  at: Date,
): string {
  const attempts = delivery.attemptsMade + (attempt === null ? 0 : 1);
  return JSON.stringify(deadLetterHeadersOf(delivery, { code, attempts, at }));
}
