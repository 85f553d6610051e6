import {
  jobDeliverySchema,
  type JobDeliveriesQuery,
  type JobDelivery,
} from '@millrace/contracts';
import type { TenantDatabase } from '@millrace/postgres';

import { webhookIdOf } from '../core/webhook-id.ts';
import { DeliveryHistory } from '../ports.ts';
import { attemptOf, type AttemptRow } from './attempt-rows.ts';

/** Attempts that are told, the latest: more than a schedule has entries. */
const attemptsToldMax = 50;

interface HistoryRow extends AttemptRow {
  readonly id: string;
  readonly webhook_id: string;
  readonly endpoint: string | null;
  readonly state: string;
  readonly not_before: Date;
}

/**
 * By the keys of both tables, within the one partition of the job's day. The id of a delivery is
 * its webhook's, or begins with it and a full stop: the next character ends the range. Under row
 * level security no index on an expression would do.
 */
const text = `
SELECT d.id, d.webhook_id, d.endpoint, d.state, d.not_before, a.number, a.outcome, a.class,
  a.status, a.dns_ms, a.connect_ms, a.tls_ms, a.first_byte_ms, a.total_ms, a.started_at
FROM dispatcher.deliveries AS d
  LEFT JOIN LATERAL (
    SELECT * FROM dispatcher.delivery_attempts AS a
    WHERE a.delivery_id = d.id AND a.day = d.day
    ORDER BY a.number DESC LIMIT ${attemptsToldMax}) AS a ON true
WHERE d.id >= $1 AND d.id < $1 || '/' AND d.day = $2::date AND d.tenant = $3
ORDER BY d.id, a.number`;

/** Of one tenant at a time, under row level security. */
export class PostgresDeliveryHistory extends DeliveryHistory {
  readonly #database: TenantDatabase;

  constructor(database: TenantDatabase) {
    super();
    this.#database = database;
  }

  async ofJob({ day, job_id, tenant }: JobDeliveriesQuery): Promise<JobDelivery[]> {
    const values = [webhookIdOf(`${tenant}:${job_id}:finished`), day, tenant];
    const { rows } = await this.#database.query<HistoryRow>(tenant, {
      name: 'delivery_history',
      text,
      values,
    });
    const byDelivery = Map.groupBy(rows, ({ id }) => id);
    return [...byDelivery.values()].flatMap(deliveryOf);
  }
}

function deliveryOf(rows: readonly HistoryRow[]): JobDelivery[] {
  const [first] = rows;
  if (first === undefined) return [];
  const { webhook_id, endpoint, not_before, state } = first;
  const delivery = {
    webhook_id,
    ...(endpoint === null ? {} : { endpoint }),
    state,
    ...(state === 'waiting' ? { next_attempt_at: not_before.toISOString() } : {}),
    attempts: rows.flatMap((row) => (row.number === null ? [] : [attemptOf(row)])),
  };
  return [jobDeliverySchema.parse(delivery)];
}
