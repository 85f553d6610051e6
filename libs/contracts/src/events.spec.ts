import { describe, expect, it } from '@jest/globals';

import {
  blobRefSchema,
  claudeBacklogSchema,
  claudeRequestedSchema,
  jobFinishedSchema,
  tenantChangedSchema,
} from './events.ts';

const at = '2026-01-01T00:00:00.000Z';
const requested = {
  tenant: 'default',
  call_id: 'order-1',
  lane: 'standard',
  stream: false,
  params: { model: 'claude', messages: [] },
  reply: { kind: 'job', created_at: at },
};
const finished = {
  tenant: 'default',
  job_id: 'order-1',
  type: 'message',
  status: 'succeeded',
  result: 'hello',
  attempts: [{ number: 1, outcome: 'succeeded', started_at: at, ended_at: at }],
  created_at: at,
  finished_at: at,
};

const backlog = { counted_at: at, waiting: 0, oldest_ms: {}, tenants: [] };

const tenant = { tenant: 'default', changed_at: at };

describe('events', () => {
  it.each([
    ['a request', claudeRequestedSchema, requested, true],
    ['a request of an unknown reply', claudeRequestedSchema, { ...requested, reply: {} }, false],
    ['a request of a bad tenant', claudeRequestedSchema, { ...requested, tenant: 'A' }, false],
    ['a place of zero', claudeRequestedSchema, { ...requested, session_seq: 0 }, false],
    ['an end', jobFinishedSchema, finished, true],
    ['an end that is none', jobFinishedSchema, { ...finished, status: 'running' }, false],
    ['an end with a local time', jobFinishedSchema, { ...finished, finished_at: 'now' }, false],
    ['an open error code', jobFinishedSchema, { ...finished, error: { code: 'oops' } }, false],
    ['a blob', blobRefSchema, 'blob_default.order-1.params', true],
    ['a blob elsewhere', blobRefSchema, '../blob_x', false],
    ['an empty queue', claudeBacklogSchema, backlog, true],
    ['a negative age', claudeBacklogSchema, { ...backlog, oldest_ms: { bulk: -1 } }, false],
    [
      'a tenant without a secret',
      tenantChangedSchema,
      { tenant: 'default', webhook_secrets: [], changed_at: at },
      false,
    ],
    ['a tenant of whom no secret is told', tenantChangedSchema, { ...tenant }, false],
    ['sealed secrets', tenantChangedSchema, { ...tenant, sealed_secrets: 'AQID' }, true],
    ['secrets of before', tenantChangedSchema, { ...tenant, webhook_secrets: ['whsec_1'] }, true],
  ])('%s', (_what, schema, value, good) => {
    expect(schema.safeParse(value).success).toBe(good);
  });
});
