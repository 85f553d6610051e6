import {
  jobDeliverySchema,
  type JobDeliveriesQuery,
  type JobDelivery,
} from '@millrace/contracts';
import type { TenantDatabase } from '@millrace/postgres';

import { webhookIdOf } from '../core/webhook-id.ts';
import { DeliveryHistory } from '../ports.ts';

/** Attempts that are told, the latest: more than a schedule has entries. */
const attemptsToldMax = 50;

interface HistoryRow {
  readonly id: string;
  readonly state: string;
  readonly not_before: Date;
  /** Null when nothing was sent yet; the others are not, then. */
  readonly number: number | null;
  readonly outcome: string;
  readonly class: string | null;
  readonly status: number | null;
  readonly dns_ms: number | null;
  readonly connect_ms: number | null;
  readonly first_byte_ms: number | null;
  readonly total_ms: number;
  readonly started_at: Date;
}

/** By the primary keys of both tables, within the one partition of the job's day. */
const text = `
SELECT d.id, d.state, d.not_before, a.number, a.outcome, a.class, a.status, a.dns_ms,
  a.connect_ms, a.first_byte_ms, a.total_ms, a.started_at
FROM dispatcher.deliveries AS d
  LEFT JOIN dispatcher.delivery_attempts AS a ON a.delivery_id = d.id AND a.day = d.day
WHERE d.id = $1 AND d.day = $2::date AND d.tenant = $3
ORDER BY a.number DESC
LIMIT ${attemptsToldMax}`;

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
    const [latest] = rows;
    if (latest === undefined) return [];
    const { id, not_before, state } = latest;
    const delivery = {
      webhook_id: id,
      state,
      ...(state === 'waiting' ? { next_attempt_at: not_before.toISOString() } : {}),
      attempts: rows.toReversed().flatMap((row) => (row.number === null ? [] : [attemptOf(row)])),
    };
    return [jobDeliverySchema.parse(delivery)];
  }
}

/** As the schema of the contract wants it: parsing says whether it is. */
function attemptOf(row: HistoryRow): unknown {
  return {
    number: row.number,
    outcome: row.outcome,
    class: row.class ?? undefined,
    http_status: row.status ?? undefined,
    started_at: row.started_at.toISOString(),
    ended_at: new Date(row.started_at.getTime() + row.total_ms).toISOString(),
    timings_ms: {
      dns: row.dns_ms ?? undefined,
      connect: row.connect_ms ?? undefined,
      first_byte: row.first_byte_ms ?? undefined,
      total: row.total_ms,
    },
  };
}
