import { describe, expect, it } from '@jest/globals';
import { type Timeline, timelineSchema } from '@millrace/contracts';

import { timelineText } from './timeline-text.ts';

const at = (second: number): string => `2030-01-02T03:04:${String(second).padStart(2, '0')}.000Z`;
const step = { workflow_id: 'bill-1', id: 'bill-1/m1', started_at: at(1) };

const timeline: Timeline = timelineSchema.parse({
  job_id: 'bill-1',
  status: 'failed',
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  events: [
    { kind: 'accepted', at: at(0), via: 'http' },
    { kind: 'running', at: at(1), attempt: 1 },
    {
      kind: 'attempt',
      at: at(3),
      attempt: {
        number: 1,
        outcome: 'failed',
        code: 'overloaded',
        http_status: 529,
        started_at: at(1),
        ended_at: at(3),
      },
    },
    { ...step, kind: 'model_call', at: at(4), step: 2, model: 'claude-sonnet-5-5', cost_usd: 0.25 },
    { ...step, kind: 'tool_call', at: at(5), step: 3, name: 'pay', is_error: true },
    { ...step, kind: 'approval', at: at(1), step: 4, name: 'pay', under_way: true },
    { kind: 'cancel_requested', at: at(6) },
    {
      kind: 'ended',
      at: at(7),
      status: 'failed',
      error: { code: 'retries_exhausted', detail: 'enough' },
    },
    {
      kind: 'delivery_attempt',
      at: at(8),
      webhook_id: 'msg_1',
      attempt: {
        number: 1,
        outcome: 'retry',
        class: 'timeout',
        started_at: at(8),
        ended_at: '2030-01-02T03:04:08.120Z',
        timings_ms: { total: 120 },
      },
      next_attempt_at: at(30),
    },
    { kind: 'redriven', at: at(9), job_id: 'bill-2' },
  ],
  spent: { usd: 0.25, tokens: 2, iterations: 1, tool_calls: 1 },
  limit_reached: 'usd',
  truncated: true,
  incomplete: ['webhook-dispatcher'],
});

describe('a timeline', () => {
  it('is a line for each event: when, what, how long and for how much', () => {
    const lines = timelineText(timeline).split('\n').map((line) => line.replaceAll(/ {2,}/g, ' | '));
    expect(lines).toEqual([
      'job | bill-1',
      'status | failed',
      'spent | $0.25',
      'waits for | a higher limit of usd',
      'trace | 4bf92f3577b34da6a3ce929d0e0e4736',
      '',
      'AT | EVENT | WHAT | TOOK | USD',
      `${at(0)} | accepted | by http`,
      `${at(1)} | running | attempt 1`,
      `${at(3)} | attempt | 1 failed overloaded 529 | 2.0 s`,
      `${at(4)} | model_call | 2 claude-sonnet-5-5 | 3.0 s | 0.25`,
      `${at(5)} | tool_call | 3 pay told as an error | 4.0 s`,
      `${at(1)} | approval | 4 pay under way`,
      `${at(6)} | cancel_requested`,
      `${at(7)} | ended | failed retries_exhausted enough`,
      `${at(8)} | delivery_attempt | 1 retry timeout again at ${at(30)} | 120 ms`,
      `${at(9)} | redriven | as bill-2`,
      '',
      'There were more events than are shown.',
      '',
      'webhook-dispatcher could not be asked: what it knows is missing.',
    ]);
  });
});
