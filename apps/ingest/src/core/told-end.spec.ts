import { describe, expect, it } from '@jest/globals';
import {
  defaultTenant,
  jobFinishedSchema,
  jobIdSchema,
  sessionIdSchema,
  type JobFinished,
} from '@millrace/contracts';

import { partsOf } from './job-view.ts';
import { toldEnd, type EndedJob } from './told-end.ts';

const createdAt = '2030-01-02T03:04:05.678Z';
const finishedAt = '2030-01-02T03:04:07.001Z';
const id = jobIdSchema.parse('order-1');

/** As a worker tells the end of a job that has everything. */
const whole: JobFinished = {
  tenant: defaultTenant,
  job_id: id,
  type: 'message',
  status: 'succeeded',
  session_id: sessionIdSchema.parse('s-1'),
  model: 'm',
  result: 'Mills\u0000 stand at \ud83c\udf0a rivers.',
  message: { id: 'msg_1', content: [{ type: 'text', text: 'Mills' }], later_field: [1.5, null] },
  usage: { input_tokens: 3, output_tokens: 5, service_tier: 'standard' },
  attempts: [
    { number: 1, outcome: 'failed', code: 'x', started_at: createdAt, ended_at: finishedAt },
    { number: 2, outcome: 'succeeded', started_at: createdAt, ended_at: finishedAt },
  ],
  stand_in: true,
  callback: { url: 'https://example.com/hooks' },
  metadata: { order: '1' },
  redrive_of: jobIdSchema.parse('order-0'),
  created_at: createdAt,
  finished_at: finishedAt,
};

/** The rows that an event leaves behind. */
function rowOf(event: JobFinished, more: Partial<EndedJob> = {}): EndedJob {
  const { outcome, answer } = partsOf(event);
  const { callback, created_at, metadata, redrive_of } = event;
  const reply = { kind: 'job', callback, metadata, redrive_of, created_at };
  return {
    tenant: event.tenant,
    id: event.job_id,
    type: event.type,
    status: event.status,
    sessionId: event.session_id ?? null,
    refused: false,
    unreleased: false,
    firstEventJson: JSON.stringify({ call_id: event.job_id, params: {}, reply }),
    outcomeJson: JSON.stringify(outcome),
    answerJson: answer === null ? null : JSON.stringify(answer),
    createdAt: new Date(event.created_at),
    finishedAt: new Date(event.finished_at),
    ...more,
  };
}

const { callback: _callback, metadata: _metadata, redrive_of: _of, ...bare } = whole;
const { result: _result, message: _message, ...answerless } = whole;
const failed: JobFinished = {
  ...answerless,
  status: 'failed',
  error: { code: 'retries_exhausted', detail: 'every retry failed' },
};

/** What stands in JSON: a field without a value does not. */
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('an end that is told again', () => {
  it.each([
    ['of a job that has everything', whole],
    ['of a job that has nothing but its answer', bare],
    ['of a large answer', { ...answerless, message_ref: 'blob_order-1.1.message' }],
    ['of a failed job', failed],
    ['of a cancelled job', { ...failed, status: 'cancelled' as const, attempts: [] }],
    ['of an expired agent', { ...failed, type: 'agent' as const, status: 'expired' as const }],
  ])('%s is the one that was told first', (_what, event) => {
    const told = toldEnd(rowOf(event));
    expect(json(told?.data)).toEqual(json(event));
    expect(told?.route).toMatchObject({
      type: `millrace.job.${event.status}.v1`,
      id: 'default:order-1:finished',
      key: 'order-1',
    });
  });

  it('comes from who told it first', () => {
    const sourceOf = (more: Partial<EndedJob>) => toldEnd(rowOf(failed, more))?.source;
    expect(sourceOf({})).toBe('claude-worker');
    expect(sourceOf({ type: 'document' })).toBe('agent-orchestrator');
    expect(sourceOf({ unreleased: true })).toBe('ingest');
  });

  it('of a job that was refused is its first event', () => {
    const { session_id: _session, metadata: _none, redrive_of: _never, ...refused } = failed;
    const event = jobFinishedSchema.parse({ ...refused, attempts: [], finished_at: createdAt });
    const told = toldEnd(rowOf(event, { refused: true, firstEventJson: JSON.stringify(event) }));
    expect(json(told?.data)).toEqual(json(event));
    expect(told?.source).toBe('ingest');
  });

  it.each([
    ['whose first event cannot be read', { firstEventJson: '{' }],
    ['whose outcome is no outcome', { outcomeJson: '[]' }],
    ['that has not ended', { status: 'running' }],
    ['without attempts', { outcomeJson: null }],
  ])('is none for a row %s', (_what, more) => {
    expect(toldEnd(rowOf(whole, more))).toBeNull();
  });
});
