import { traceHeaders, type PayloadCodec } from '@millrace/contracts';

import type { NewDelivery } from '../core/delivery.ts';

/** A delivery that is there already stays as it is: its event was delivered to us twice. */
export const insertSql = `
  INSERT INTO dispatcher.deliveries (id, day, tenant, job_id, url, origin, body, traceparent,
    tracestate, owner, state, record_topic, record_partition, record_offset, record_key,
    record_headers, record_value)
  SELECT id, day, tenant, job_id, url, origin, body, traceparent, tracestate,
    owner, CASE WHEN owner IS NULL THEN 'waiting' ELSE 'sending' END, topic, partition, "offset",
    key, headers, value
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
    $7::text[], $8::text[], $9::text[], $10::text[], $11::int[], $12::bigint[], $13::text[],
    $14::jsonb[], $15::bytea[], $16::date[])
    AS new (id, tenant, job_id, url, origin, body, traceparent, tracestate, owner, topic,
      partition, "offset", key, headers, value, day)
  ON CONFLICT (id, day) DO NOTHING RETURNING id`;

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
    items.map(({ source }) => source.topic),
    items.map(({ source }) => source.partition),
    items.map(({ source }) => source.offset),
    items.map(({ record }) => record.key),
    items.map(({ record }) => JSON.stringify(record.headers)),
    // As it came from Kafka, codec and all: it goes back there, never anywhere else.
    items.map(({ record }) => record.value),
    items.map(({ day }) => day),
  ];
}
