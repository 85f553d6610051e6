import { jobEventsKeptMax, type PayloadCodec } from '@millrace/contracts';
import { arrayQuery, type Pool, type PoolClient } from '@millrace/postgres';

import { causeOf } from '../core/timeline.ts';
import type { KeptEvent } from '../ports.ts';

/**
 * Sorted by key, so that two replicas never wait for each other in a circle. A job that has its
 * share gets no more: its end tells of the latest attempts.
 */
const text = `
INSERT INTO ingest.job_events (tenant, job_id, id, event, day)
SELECT tenant, job_id, id, event, day
FROM (
  SELECT *, dense_rank() OVER (PARTITION BY tenant, job_id, day ORDER BY id) AS place
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::date[])
    AS input(tenant, job_id, id, event, day)
) AS input
WHERE place <= $6::int - (
  SELECT count(*) FROM ingest.job_events AS kept
  WHERE kept.tenant = input.tenant AND kept.job_id = input.job_id AND kept.day = input.day
)
ORDER BY tenant, job_id, id
ON CONFLICT DO NOTHING`;

/** Adds events to jobs' timelines; one that is there already stays as it is. */
export async function keepEvents(
  client: Pick<Pool | PoolClient, 'query'>,
  events: readonly KeptEvent[],
  codec: PayloadCodec,
): Promise<void> {
  if (events.length === 0) return;
  const values = [
    events.map(({ tenant }) => tenant),
    events.map(({ id }) => id),
    events.map(({ event }) => causeOf(event)),
    events.map(({ event, tenant }) =>
      codec.encode(Buffer.from(JSON.stringify(event)), { tenant, medium: 'table' }),
    ),
    events.map(({ day }) => day),
    jobEventsKeptMax,
  ];
  await client.query(arrayQuery({ name: 'keep_events', text, values }));
}
