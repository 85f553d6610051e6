import {
  deliveryIdSchema,
  deliveryStatusSchema,
  endpointIdSchema,
  invalidRequest,
  jobIdSchema,
  jobListLimitDefault,
  jobListLimitMax,
  momentSchema,
  parseRequest,
  replayBatchMax,
  replayBatchSchema,
  type DeliveryId,
  type DeliveryStatus,
  type EndpointId,
  type EndpointRecovery,
  type JobId,
} from '@millrace/contracts';
import { z } from 'zod';

/** The place after which a page of deliveries begins. */
export interface DeliveryCursor {
  /** Microseconds since the epoch, as Postgres counts. */
  readonly createdAtMicros: string;
  readonly id: DeliveryId;
}

export interface DeliveryQuery {
  readonly endpoint: EndpointId | null;
  readonly status: DeliveryStatus | null;
  readonly jobId: JobId | null;
  readonly since: Date | null;
  readonly until: Date | null;
  readonly after: DeliveryCursor | null;
  readonly limit: number;
}

export interface ReplayQuery {
  readonly endpoint: EndpointId | null;
  readonly statuses: readonly DeliveryStatus[];
  readonly since: Date;
  /** Null: now, by the database's clock. */
  readonly until: Date | null;
  readonly limit: number;
}

const limitSchema = z
  .string()
  .regex(/^\d{1,4}$/, 'must be a number')
  .transform(Number)
  .pipe(z.int().min(1).max(jobListLimitMax))
  .default(jobListLimitDefault);

const cursorSchema = z.tuple([z.string().regex(/^\d{1,19}$/), deliveryIdSchema]);

const deliveryQuerySchema = z.strictObject({
  endpoint: endpointIdSchema.optional(),
  status: deliveryStatusSchema.optional(),
  job_id: jobIdSchema.optional(),
  since: momentSchema.optional(),
  until: momentSchema.optional(),
  cursor: z.string().max(512).optional(),
  limit: limitSchema,
});

const endpointQuerySchema = z.strictObject({
  cursor: endpointIdSchema.optional(),
  limit: limitSchema,
});

/** What was not delivered, and what nobody asked to be spared. */
const undelivered = ['dead', 'skipped_disabled'] as const;

/** @throws ProblemError that lists what is wrong. */
export function deliveryQueryOf(given: unknown): DeliveryQuery {
  const query = parseRequest(deliveryQuerySchema, given);
  return {
    endpoint: query.endpoint ?? null,
    status: query.status ?? null,
    jobId: query.job_id ?? null,
    since: dateOf(query.since),
    until: dateOf(query.until),
    after: query.cursor === undefined ? null : cursorOf(query.cursor),
    limit: query.limit,
  };
}

/** @throws ProblemError that lists what is wrong. */
export function endpointPageOf(given: unknown): { after: EndpointId | null; limit: number } {
  const { cursor, limit } = parseRequest(endpointQuerySchema, given);
  return { after: cursor ?? null, limit };
}

/** @throws ProblemError that lists what is wrong. */
export function replayQueryOf(given: unknown): ReplayQuery {
  const { endpoint, since, status, until } = parseRequest(replayBatchSchema, given);
  return {
    endpoint: endpoint ?? null,
    statuses: status === undefined ? undelivered : [status],
    since: new Date(since),
    until: dateOf(until),
    limit: replayBatchMax,
  };
}

export function recoveryQueryOf(endpoint: EndpointId, recovery: EndpointRecovery): ReplayQuery {
  const { since, until } = recovery;
  return {
    endpoint,
    statuses: undelivered,
    since: new Date(since),
    until: dateOf(until),
    limit: replayBatchMax,
  };
}

/** An opaque text for the next page's query. */
export function encodeDeliveryCursor({ createdAtMicros, id }: DeliveryCursor): string {
  return Buffer.from(JSON.stringify([createdAtMicros, id])).toString('base64url');
}

function cursorOf(text: string): DeliveryCursor {
  const parsed = cursorSchema.safeParse(readJson(Buffer.from(text, 'base64url').toString('utf8')));
  if (!parsed.success) {
    throw invalidRequest([{ path: 'cursor', message: 'is not a cursor of this list' }]);
  }
  const [createdAtMicros, id] = parsed.data;
  return { createdAtMicros, id };
}

function readJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch {
    return null;
  }
}

function dateOf(moment: string | undefined): Date | null {
  return moment === undefined ? null : new Date(moment);
}
