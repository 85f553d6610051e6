import { daysAround } from '@millrace/contracts';
import { sameDay } from '@millrace/postgres';

import type { DeliveryRedrive } from '../ports.ts';
import { wakeLanesSql } from './wake-sql.ts';

/**
 * Wakes the dead. The record's bytes, given up when the delivery ended, come back with the record,
 * for another dead letter. Attempts keep their numbers; the schedule counts from here on.
 */
export const redriveSql = `
  WITH redriven AS (
    UPDATE dispatcher.deliveries AS d SET
      state = 'waiting', not_before = now(), ended_at = NULL, code = NULL,
      redriven_by = input.cause, redriven_at = now(), attempts_before = d.attempts,
      record_value = input.value
    FROM unnest($1::text[], $2::date[], $3::text[], $4::bytea[]) AS input (id, day, cause, value)
    WHERE d.id = input.id AND ${sameDay('d', 'input.day')}
      AND d.day BETWEEN $5::date AND $6::date
      AND d.state = 'dead' AND d.redriven_by IS DISTINCT FROM input.cause
    RETURNING d.tenant, d.origin, d.not_before
  )
  ${wakeLanesSql('SELECT tenant, origin, not_before FROM redriven')}`;

/** One array a column, in the order of the statement. */
export function redriveColumns(redrives: readonly DeliveryRedrive[]): unknown[] {
  const days = redrives.map(({ delivery }) => delivery.day);
  return [
    redrives.map(({ delivery }) => delivery.id),
    days,
    redrives.map(({ cause }) => cause),
    redrives.map(({ delivery }) => delivery.record?.value ?? null),
    ...daysAround(days),
  ];
}
