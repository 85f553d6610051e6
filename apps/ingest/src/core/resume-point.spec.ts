import { expect, it } from '@jest/globals';
import { jobIdSchema } from '@millrace/contracts';

import { endEventId, eventId } from './job-event-frames.ts';
import { parseResumePoint } from './resume-point.ts';

const job = jobIdSchema.parse('order-1');
const text = { turn: 1, attempt: 2, end: 30 };

it.each([
  ['order-1:1.2.30', { text, step: undefined }],
  ['order-1:1.2.30~0', { text, step: 0 }],
  ['order-1:1.2.30~57', { text, step: 57 }],
  ['order-1:0.0.0~57', { text: undefined, step: 57 }],
])('reads what events are named: %s', (id, place) => {
  expect(eventId(job, place)).toBe(id);
  expect(parseResumePoint(job, id)).toEqual({ kind: 'after', place });
});

it('reads the end and the beginning', () => {
  expect(parseResumePoint(job, endEventId(job))).toEqual({ kind: 'end' });
  expect(parseResumePoint(job, undefined)).toEqual({ kind: 'beginning' });
  expect(parseResumePoint(job, '')).toEqual({ kind: 'beginning' });
});

it.each(['order-1', 'order-1:', 'order-1:1.1', 'order-1:1.1.-1', 'order-1:01.1.0', 'order-1:0.1.0',
  'order-2:1.1.0', 'order-2:end', 'order-1:1.1.9999999999', 'order-1:1.1.0 ', 'order-1:0.0.0',
  'order-1:1.1.0~', 'order-1:1.1.0~01', 'order-1:~1', 'order-1:1.1.0~1~2'])(
  'refuses %s',
  (id) => {
    expect(parseResumePoint(job, id)).toEqual({ kind: 'malformed' });
  },
);
