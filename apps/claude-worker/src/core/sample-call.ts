import { jobIdSchema, tenantIdSchema, workflowReplySchema } from '@millrace/contracts';

import type { CallRequest } from './call.ts';

/** A plain request for the specs: no session, no stream, nothing special. */
export const sampleCallRequest: CallRequest = {
  id: 'default/job-1',
  tenant: tenantIdSchema.parse('default'),
  callId: jobIdSchema.parse('job-1'),
  day: '2026-11-23',
  lane: 'standard',
  session: null,
  stream: false,
  params: { model: 'claude-sonnet-5-5', max_tokens: 10, messages: [] },
  paramsRef: null,
  expiresAtMs: null,
  reply: { kind: 'job', created_at: '2026-11-23T10:00:00.000Z' },
  origin: { topic: 't', partition: 0, offset: '1', key: null, headers: {} },
  traceparent: null,
  tracestate: null,
};

/** Who asks when it is the workflow of the job `job-1`. */
export const sampleWorkflowReply = workflowReplySchema.parse({
  kind: 'workflow',
  workflow_id: 'job-1/c1',
  job_id: 'job-1',
  turn: 3,
  created_at: '2026-11-23T10:00:00.000Z',
});
