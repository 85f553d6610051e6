/** Names of the headers that cross a process boundary, in one place. */

/** CloudEvents 1.0, Kafka binary mode. */
export const cloudEventHeaders = {
  id: 'ce_id',
  source: 'ce_source',
  type: 'ce_type',
  specVersion: 'ce_specversion',
  time: 'ce_time',
  subject: 'ce_subject',
  /** Extension attribute: whose event it is, known before the body is decoded. */
  tenant: 'ce_tenant',
  contentType: 'content-type',
} as const;

/** W3C Trace Context. */
export const traceHeaders = { parent: 'traceparent', state: 'tracestate' } as const;

/** What a dead letter carries beside the untouched record. */
export const deadLetterHeaders = {
  reason: 'dlq-reason',
  detail: 'dlq-detail',
  topic: 'dlq-topic',
  partition: 'dlq-partition',
  offset: 'dlq-offset',
  service: 'dlq-service',
  attempts: 'dlq-attempts',
  at: 'dlq-at',
} as const;

/**
 * On a record of `jobs.finished.v1` that was published again because its webhook was given up: the
 * dead letter and the number of its redrive. Who reads the topic for itself drops it by `ce_id`.
 */
export const redriveHeader = 'millrace-redrive';

/** Standard Webhooks, and the hex signature of receivers written from the article. */
export const webhookHeaders = {
  id: 'webhook-id',
  timestamp: 'webhook-timestamp',
  signature: 'webhook-signature',
  attempt: 'webhook-attempt',
  hexSignature: 'x-webhook-signature',
} as const;

export const httpHeaders = {
  idempotencyKey: 'idempotency-key',
  idempotentReplayed: 'idempotent-replayed',
  jobId: 'x-millrace-job-id',
  apiKey: 'x-api-key',
  /** What one service shows another on a route that is not for the world. */
  internalKey: 'x-millrace-internal-key',
  /** Set by a Claude stand-in on every answer; claude-worker derives `stand_in` from it. */
  standIn: 'x-millrace-stand-in',
} as const;
