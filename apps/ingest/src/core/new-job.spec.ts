import { describe, expect, it } from '@jest/globals';
import {
  blobRefSchema,
  defaultTenant,
  jobIdSchema,
  sessionIdSchema,
  tenantIdSchema,
  topics,
} from '@millrace/contracts';

import { paramsBlobId } from './job-ids.ts';
import { judgeSubmission } from './judge-submission.ts';
import { newJob, refusedJob, routeOf, withSessionSeq, type Arrival } from './new-job.ts';

const rules = { defaultModel: 'm', checkUrl: () => ({ ok: true }) as const };
const arrival: Arrival = {
  tenant: defaultTenant,
  source: 'kafka',
  idempotencyKey: null,
  traceparent: '00-1-2-01',
  createdAt: new Date(0),
};
const id = jobIdSchema.parse('j');

function made(type: 'message' | 'agent', session?: string) {
  const session_id = session === undefined ? undefined : sessionIdSchema.parse(session);
  const judged = judgeSubmission({ type, prompt: 'p', session_id }, rules);
  if (!judged.ok) throw new TypeError('refused');
  const { order } = judged;
  return newJob(arrival, { id, order, carrier: { kind: 'inline', params: order.params } });
}

describe('the first event of a job', () => {
  it('follows the contract, with its place in the session', () => {
    const json = withSessionSeq(made('message', 's').firstEventJson, 3);
    const schema = topics.claudeRequested.types['millrace.claude.requested.v1'];
    expect(schema.parse(JSON.parse(json))).toMatchObject({ session_id: 's', session_seq: 3 });
  });

  it('of an agent is a workflow request with all that its run has to know', () => {
    const submission = {
      type: 'agent',
      params: { messages: [{ role: 'user', content: 'p' }], stream: true, untrusted: true },
      lane: 'bulk',
      budget: { usd: 2 },
      session_id: sessionIdSchema.parse('s'),
      complete_by: '1970-01-01T00:00:02Z',
    } as const;
    const judged = judgeSubmission(submission, rules);
    if (!judged.ok) throw new TypeError('refused');
    const { order } = judged;
    const job = newJob(arrival, { id, order, carrier: { kind: 'inline', params: order.params } });
    const schema = topics.workflowsRequested.types['millrace.workflow.requested.v1'];
    expect(schema.parse(JSON.parse(job.firstEventJson))).toMatchObject({
      job_id: 'j',
      type: 'agent',
      lane: 'bulk',
      stream: true,
      tainted: true,
      budget: { usd: 2 },
      session_id: 's',
      complete_by: '1970-01-01T00:00:02.000Z',
    });
  });

  it.each([
    ['before its acceptance', '1969-12-31T23:59:59Z', false],
    ['at its acceptance', '1970-01-01T00:00:00Z', false],
    ['after its acceptance', '1970-01-01T00:00:01Z', true],
  ])('waits for a run_at %s: %p', (_what, run_at, waits) => {
    const complete_by = '1970-01-01T00:00:02Z';
    const judged = judgeSubmission({ type: 'message', prompt: 'p', run_at, complete_by }, rules);
    if (!judged.ok) throw new TypeError('refused');
    const { order } = judged;
    const job = newJob(arrival, { id, order, carrier: { kind: 'inline', params: order.params } });
    expect(job.waits).toBe(waits);
    const schema = topics.claudeRequested.types['millrace.claude.requested.v1'];
    const { complete_by: told } = schema.parse(JSON.parse(job.firstEventJson));
    expect(told).toBe('1970-01-01T00:00:02.000Z');
  });

  it('of a refused job is its end', () => {
    const job = refusedJob(arrival, {
      id,
      type: 'message',
      code: 'invalid_request',
      detail: 'd',
      callbackUrl: undefined,
      requestHash: Buffer.alloc(32),
    });
    const schema = topics.jobsFinished.types['millrace.job.failed.v1'];
    expect(schema.parse(JSON.parse(job.firstEventJson))).toMatchObject({
      status: 'failed',
      error: { code: 'invalid_request' },
    });
    expect(routeOf(job)).toMatchObject({ id: 'default:j:finished', key: 'j' });
  });

  it.each([
    ['message', undefined, 'claude.requested.v1', 'default/j'],
    ['message', 's', 'claude.requested.v1', 'default/s'],
    ['agent', 's', 'workflows.requested.v1', 'default/j'],
  ] as const)('of type %s in session %s goes to %s under %s', (type, session, topic, key) => {
    const route = routeOf(made(type, session));
    expect(route).toMatchObject({ topic: { name: topic }, key, id: 'default:j:requested' });
    expect(Object.keys(route.topic.types)).toContain(route.type);
  });
});

it('the id of a blob fits the contract, and tells bodies apart', () => {
  const tenant = tenantIdSchema.parse('t'.repeat(63));
  const longest = jobIdSchema.parse('j'.repeat(128));
  const one = paramsBlobId(tenant, longest, '{"a":1}');
  expect(blobRefSchema.safeParse(one).success).toBe(true);
  expect(paramsBlobId(tenant, longest, '{"a":2}')).not.toBe(one);
});
