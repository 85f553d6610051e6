import { describe, expect, it } from '@jest/globals';
import { jobProgressedSchema } from '@millrace/contracts';

import { progressEvent, saysRunning, saysStatus } from './progress-event.ts';

const job = { tenant: 'default', job_id: 'a', created_at: '2026-11-24T10:00:00.000Z' };
const running = { ...job, status: 'running', attempt: 2, at: '2026-11-24T10:00:01.000Z' };
const attempt = {
  number: 1,
  outcome: 'failed',
  code: 'api_error',
  http_status: 500,
  started_at: '2026-11-24T10:00:00.010Z',
  ended_at: '2026-11-24T10:00:00.020Z',
  request_id: 'req_1',
};

describe('a progress record', () => {
  it.each([
    ['of now', { ...running, kind: 'running' }],
    ['of an older release, which had no kind', running],
  ])('%s says that its job runs', (_, data) => {
    const progress = jobProgressedSchema.parse(data);
    expect(saysRunning(progress)).toBe(true);
    expect(progressEvent(progress)).toEqual({
      kind: 'running',
      at: '2026-11-24T10:00:01.000Z',
      attempt: 2,
    });
  });

  it('of an attempt stands where the attempt ended, and does not say that its job runs', () => {
    const progress = jobProgressedSchema.parse({ ...job, kind: 'attempt', attempt });
    expect(saysRunning(progress)).toBe(false);
    expect(progressEvent(progress)).toEqual({ kind: 'attempt', at: attempt.ended_at, attempt });
  });

  it('of a status says what a workflow waits for, and adds nothing to the timeline', () => {
    const { attempt: _attempt, ...rest } = running;
    const changed = { ...rest, kind: 'status', status: 'awaiting_approval', version: 3 };
    const progress = jobProgressedSchema.parse(changed);
    expect([saysRunning(progress), saysStatus(progress)]).toEqual([false, true]);
    expect(progressEvent(progress)).toBeNull();
  });

  it.each([
    ['of a kind that nobody knows', { ...running, kind: 'walking' }],
    ['of an attempt without one', { ...job, kind: 'attempt' }],
  ])('%s is refused', (_, data) => {
    expect(jobProgressedSchema.safeParse(data).success).toBe(false);
  });
});
