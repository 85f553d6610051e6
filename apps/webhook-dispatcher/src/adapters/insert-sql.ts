import { traceHeaders, type PayloadCodec } from '@millrace/contracts';

import type { NewDelivery } from '../core/delivery.ts';
import { laneSightColumns, type LaneSightRow } from './lane-sight-sql.ts';
import { wakeLanesSql } from './wake-sql.ts';

/**
 * A delivery that is there already stays as it is: its event was delivered to us twice. A new one
 * is ours when we have a slot for it and its lane is open; a lane whose breaker is open is left to
 * the claim, which knows probes. What its endpoint became meanwhile decides as well: nothing is
 * made for one that was deleted, and one that is disabled gets what it can ask for later.
 */
export const insertSql = `
  WITH new AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
      $7::text[], $8::text[], $9::text[], $10::text[], $11::int[], $12::bigint[], $13::text[],
      $14::jsonb[], $15::bytea[], $16::date[], $17::text[], $18::text[], $19::float8[])
      AS new (id, tenant, job_id, url, origin, body, traceparent, tracestate, owner, topic,
        partition, "offset", key, headers, value, day, endpoint, event_type, after_ms)
  ), placed AS (
    SELECT new.*, CASE
        WHEN e.status = 'disabled' THEN 'skipped_disabled'
        WHEN new.owner IS NULL OR e.status = 'paused' THEN 'waiting'
        WHEN l.closed_until > now() OR l.probing_until > now() OR l.closed_why = 'breaker'
          THEN 'waiting'
        ELSE 'sending' END AS state
    FROM new
    LEFT JOIN dispatcher.endpoints AS e ON e.tenant = new.tenant AND e.id = new.endpoint
    LEFT JOIN dispatcher.lanes AS l ON l.tenant = new.tenant AND l.origin = new.origin
    WHERE new.endpoint IS NULL OR (e.id IS NOT NULL AND e.deleted_at IS NULL)
  ), inserted AS (
    INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, traceparent,
      tracestate, owner, state, not_before, ended_at, code, record_topic, record_partition,
      record_offset, record_key, record_headers, record_value, endpoint, event_type)
    SELECT id, day, tenant, job_id, url, origin, body, traceparent, tracestate,
      CASE WHEN state = 'sending' THEN owner END, state, now() + after_ms * interval '1 ms',
      CASE WHEN state = 'skipped_disabled' THEN now() END,
      CASE WHEN state = 'skipped_disabled' THEN 'endpoint_disabled' END,
      topic, partition, "offset", key, headers, value, endpoint, event_type
    FROM placed
    ON CONFLICT (id, day) DO NOTHING
    RETURNING id, tenant, origin, endpoint, state, not_before
  ), woken AS (
    ${wakeLanesSql("SELECT tenant, origin, not_before FROM inserted WHERE state = 'waiting'")}
  )
  SELECT inserted.id, inserted.state, false AS is_probe, ${laneSightColumns('l', 'e')}
  FROM inserted
  LEFT JOIN dispatcher.lanes AS l ON l.tenant = inserted.tenant AND l.origin = inserted.origin
  LEFT JOIN dispatcher.endpoints AS e ON e.tenant = inserted.tenant AND e.id = inserted.endpoint`;

export interface InsertedRow extends LaneSightRow {
  readonly id: string;
  readonly state: 'sending' | 'waiting' | 'skipped_disabled';
}

/** One array a column, in the order of the statement. */
export function insertColumns(items: readonly NewDelivery[], codec: PayloadCodec): unknown[][] {
  return [
    items.map(({ id }) => id),
    items.map(({ tenant }) => tenant),
    items.map(({ jobId }) => jobId),
    items.map(({ url }) => url),
    items.map(({ origin }) => origin),
    items.map(({ body, tenant }) => codec.encode(body, { tenant, medium: 'table' })),
    items.map((item) => item.traceHeaders[traceHeaders.parent] ?? null),
    items.map((item) => item.traceHeaders[traceHeaders.state] ?? null),
    items.map(({ owner }) => owner),
    items.map(({ source }) => source?.topic ?? null),
    items.map(({ source }) => source?.partition ?? null),
    items.map(({ source }) => source?.offset ?? null),
    items.map(({ record }) => record?.key ?? null),
    items.map(({ record }) => record && JSON.stringify(record.headers)),
    // As it came from Kafka, codec and all: it goes back there, never anywhere else.
    items.map(({ record }) => record?.value ?? null),
    items.map(({ day }) => day),
    items.map(({ endpoint }) => endpoint),
    items.map(({ eventType }) => eventType),
    items.map(({ firstAfterMs }) => firstAfterMs),
  ];
}
