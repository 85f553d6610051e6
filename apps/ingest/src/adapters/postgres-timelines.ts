import {
  jobEventsKeptMax,
  jobStatusSchema,
  jobTypeSchema,
  timelineEventSchema,
  type PayloadCodec,
  type TimelineEvent,
} from '@millrace/contracts';
import type { Pool, TenantDatabase } from '@millrace/postgres';
import { z } from 'zod';

import { outcomeSchema, traceIdOf } from '../core/job-view.ts';
import { JobTimelines, type FoundHistory, type JobName, type KeptEvent } from '../ports.ts';
import { keepEvents } from './keep-events.ts';

const findText = `
SELECT jobs.day::text, type, source, status, refused, created_at, finished_at, run_at, traceparent,
  outcome,
  ARRAY(
    SELECT event FROM ingest.job_events AS events
    WHERE events.tenant = jobs.tenant AND events.job_id = jobs.id AND events.day = jobs.day
    LIMIT $3
  ) AS events
FROM ingest.job_keys AS keys JOIN ingest.jobs USING (tenant, id, day)
WHERE keys.tenant = $1 AND keys.id = $2`;

const rowSchema = z.object({
  day: z.string(),
  type: jobTypeSchema,
  source: z.enum(['http', 'kafka']),
  status: jobStatusSchema,
  refused: z.boolean(),
  created_at: z.date(),
  finished_at: z.date().nullable(),
  run_at: z.date().nullable(),
  traceparent: z.string(),
  outcome: z.instanceof(Buffer).nullable(),
  events: z.array(z.instanceof(Buffer)),
});

export interface PostgresTimelinesOptions {
  readonly pool: Pool;
  /** What is read for one tenant. */
  readonly own: TenantDatabase;
  readonly codec: PayloadCodec;
}

/** What happened to jobs, from their rows and the events beside them. */
export class PostgresTimelines extends JobTimelines {
  readonly #options: PostgresTimelinesOptions;

  constructor(options: PostgresTimelinesOptions) {
    super();
    this.#options = options;
  }

  async keep(events: readonly KeptEvent[]): Promise<void> {
    await keepEvents(this.#options.pool, events, this.#options.codec);
  }

  async find({ tenant, id }: JobName): Promise<FoundHistory | null> {
    const { own } = this.#options;
    const values = [tenant, id, jobEventsKeptMax];
    const { rows } = await own.query(tenant, { name: 'find_timeline', text: findText, values });
    if (rows[0] === undefined) return null;
    const row = rowSchema.parse(rows[0]);
    const outcome = row.outcome === null ? undefined : this.#read(tenant, row.outcome);
    return {
      place: { tenant, id, day: row.day },
      type: row.type,
      traceId: traceIdOf(row.traceparent),
      isFull: row.events.length >= jobEventsKeptMax,
      history: {
        via: row.source,
        status: row.status,
        refused: row.refused,
        createdAt: row.created_at,
        finishedAt: row.finished_at,
        runAt: row.run_at,
        outcome: outcomeSchema.optional().parse(outcome),
        kept: row.events.map((event) => this.#eventOf(tenant, event)),
      },
    };
  }

  #eventOf(tenant: string, bytes: Buffer): TimelineEvent {
    return timelineEventSchema.parse(this.#read(tenant, bytes));
  }

  #read(tenant: string, bytes: Buffer): unknown {
    const place = { tenant, medium: 'table' } as const;
    return JSON.parse(this.#options.codec.decode(bytes, place).toString());
  }
}
