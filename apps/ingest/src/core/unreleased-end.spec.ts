import { describe, expect, it } from '@jest/globals';
import { defaultTenant, jobIdSchema, sessionIdSchema, topics } from '@millrace/contracts';

import { unreleasedEnd } from './unreleased-end.ts';

const reply = {
  kind: 'job',
  callback: { url: 'https://good' },
  metadata: { a: 'b' },
  created_at: '2026-11-24T09:00:00.000Z',
};
const job = {
  tenant: defaultTenant,
  id: jobIdSchema.parse('j'),
  type: 'message',
  sessionId: sessionIdSchema.parse('s'),
  firstEventJson: JSON.stringify({ params: { messages: [] }, reply }),
} as const;

describe('the end of a job that was not released', () => {
  it.each([
    ['cancelled', 'cancelled'],
    ['expired', 'deadline_exceeded'],
  ] as const)('%s follows the contract, with all that its receivers need', (status, code) => {
    const { data, route } = unreleasedEnd(job, status, new Date('2026-11-24T10:00:00Z'));
    const schema = topics.jobsFinished.types[`millrace.job.${status}.v1`];
    expect(schema.parse(data)).toMatchObject({
      job_id: 'j',
      status,
      session_id: 's',
      error: { code },
      attempts: [],
      callback: { url: 'https://good' },
      metadata: { a: 'b' },
      created_at: '2026-11-24T09:00:00.000Z',
      finished_at: '2026-11-24T10:00:00.000Z',
    });
    expect(route).toEqual({
      topic: topics.jobsFinished,
      type: `millrace.job.${status}.v1`,
      id: 'default:j:finished',
      key: 'j',
    });
  });
});
