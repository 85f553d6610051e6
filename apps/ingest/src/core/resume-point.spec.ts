import { expect, it } from '@jest/globals';
import { jobIdSchema } from '@millrace/contracts';

import { endEventId, eventId } from './job-event-frames.ts';
import { parseResumePoint } from './resume-point.ts';

const job = jobIdSchema.parse('order-1');

it('reads what events are named, and nothing else', () => {
  const place = { turn: 1, attempt: 2, end: 30 };
  expect(parseResumePoint(job, eventId(job, place))).toEqual({ kind: 'after', place });
  expect(parseResumePoint(job, endEventId(job))).toEqual({ kind: 'end' });
  expect(parseResumePoint(job, undefined)).toEqual({ kind: 'beginning' });
  expect(parseResumePoint(job, '')).toEqual({ kind: 'beginning' });
});

it.each(['order-1', 'order-1:', 'order-1:1.1', 'order-1:1.1.-1', 'order-1:01.1.0', 'order-1:0.1.0',
  'order-2:1.1.0', 'order-2:end', 'order-1:1.1.9999999999', 'order-1:1.1.0 '])(
  'refuses %s',
  (id) => {
    expect(parseResumePoint(job, id)).toEqual({ kind: 'malformed' });
  },
);
