import { describe, expect, it } from '@jest/globals';
import { jobViewSchema, type JobView } from '@millrace/contracts';

import { eventsAreGone, eventsKeptMs, streamLifeMs } from './stream-life.ts';

it('a connection lives a fifth shorter to a fifth longer than the mean', () => {
  expect([0, 0.5, 1].map((random) => streamLifeMs(900_000, random))).toEqual([
    720_000, 900_000, 1_080_000,
  ]);
});

describe('the events of a job', () => {
  const finishedAt = '2026-11-23T10:00:00.000Z';
  const nowMs = Date.parse(finishedAt) + eventsKeptMs;
  const job = (more: Partial<JobView>): JobView =>
    jobViewSchema.parse({
      id: 'job-1',
      type: 'message',
      status: 'succeeded',
      lane: 'standard',
      created_at: finishedAt,
      finished_at: finishedAt,
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      ...more,
    });

  it('are gone a day after its end, whatever that was', () => {
    for (const status of ['succeeded', 'failed', 'cancelled', 'expired'] as const) {
      expect(eventsAreGone(job({ status }), nowMs)).toBe(true);
      expect(eventsAreGone(job({ status }), nowMs - 1)).toBe(false);
    }
  });

  it('are never gone while it runs', () => {
    const running = job({ status: 'running', finished_at: undefined });
    expect(eventsAreGone(running, nowMs * 2)).toBe(false);
  });
});
