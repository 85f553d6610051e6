import { describe, expect, it } from '@jest/globals';
import {
  endpointIdSchema,
  jobIdSchema,
  timelineEventSchema,
  timelineEventsMax,
  timelineStepKinds,
  workflowStepSchema,
  type Attempt,
  type DeliveryAttempt,
  type TimelineEvent,
} from '@millrace/contracts';
import fc from 'fast-check';

import {
  causeOf,
  eventsOfDeliveries,
  eventsOfJob,
  eventsOfSteps,
  mergeTimeline,
  type JobHistory,
} from './timeline.ts';

const at = (ms: number) => new Date(Date.UTC(2026, 10, 24, 10) + ms).toISOString();

function attempt(number: number, endedMs: number, more: Partial<Attempt> = {}): Attempt {
  const times = { started_at: at(endedMs - 5), ended_at: at(endedMs) };
  return { number, outcome: 'failed', ...times, ...more };
}

function delivery(number: number, endedMs: number): DeliveryAttempt {
  const times = { started_at: at(endedMs - 5), ended_at: at(endedMs) };
  return { number, outcome: 'retry', ...times, timings_ms: { total: 5 } };
}

const history: JobHistory = {
  via: 'kafka',
  status: 'succeeded',
  refused: false,
  createdAt: new Date(at(0)),
  finishedAt: new Date(at(4_000)),
  runAt: null,
  outcome: {
    model: 'claude-sonnet-5-5',
    usage: { input_tokens: 3, output_tokens: 2 },
    attempts: [attempt(1, 10), attempt(2, 4_000, { outcome: 'succeeded' })],
  },
  kept: [
    { kind: 'attempt', at: at(10), attempt: attempt(1, 10) },
    { kind: 'running', at: at(2_020), attempt: 2 },
  ],
};

const kindsOf = (events: readonly TimelineEvent[]) => events.map(({ kind }) => kind);

describe('the timeline of a job', () => {
  it('tells its way once, in order, with the attempts of its row and of its records', () => {
    const { events, truncated } = mergeTimeline(eventsOfJob(history));
    expect(kindsOf(events)).toEqual([
      'accepted',
      'released',
      'attempt',
      'running',
      'attempt',
      'ended',
    ]);
    expect(events[0]).toEqual({ kind: 'accepted', at: at(0), via: 'kafka' });
    expect(events.at(-1)).toEqual({
      kind: 'ended',
      at: at(4_000),
      status: 'succeeded',
      model: 'claude-sonnet-5-5',
      usage: { input_tokens: 3, output_tokens: 2 },
    });
    expect(truncated).toBe(false);
  });

  it('of a job that goes on has what has happened so far', () => {
    const running = { ...history, finishedAt: null, outcome: undefined };
    const { events } = mergeTimeline(eventsOfJob({ ...running, status: 'running' }));
    expect(kindsOf(events)).toEqual(['accepted', 'released', 'attempt', 'running']);
  });

  it('of a job that was refused as it came has nobody who was handed it', () => {
    const error = { code: 'refused_by_model', detail: 'no' } as const;
    const refused = { ...history, status: 'failed', refused: true, kept: [] } as const;
    const { events } = mergeTimeline(
      eventsOfJob({ ...refused, finishedAt: refused.createdAt, outcome: { error } }),
    );
    expect(kindsOf(events)).toEqual(['accepted', 'ended']);
    expect(events[1]).toMatchObject({ status: 'failed', error });
  });

  it('has no release of a job that waits for its time, until that is kept', () => {
    const waiting = { ...history, status: 'queued', finishedAt: null, outcome: undefined } as const;
    const runAt = new Date(at(60_000));
    const kindsWith = (kept: TimelineEvent[]) =>
      kindsOf(mergeTimeline(eventsOfJob({ ...waiting, runAt, kept })).events);
    expect(kindsWith([])).toEqual(['accepted']);
    expect(kindsWith([{ kind: 'released', at: at(60_010) }])).toEqual(['accepted', 'released']);
  });

  it('says of the latest attempt of a waiting webhook when the next one is due', () => {
    const attempts = [delivery(2, 200), delivery(1, 100)];
    const told = eventsOfDeliveries([
      { webhook_id: 'msg_1', state: 'waiting', next_attempt_at: at(5_000), attempts },
    ]);
    expect(mergeTimeline(told).events).toEqual([
      { kind: 'delivery_attempt', at: at(100), webhook_id: 'msg_1', attempt: delivery(1, 100) },
      {
        kind: 'delivery_attempt',
        at: at(200),
        webhook_id: 'msg_1',
        attempt: delivery(2, 200),
        next_attempt_at: at(5_000),
      },
    ]);
  });

  it('tells the receivers of one event apart, which get it under one webhook id', () => {
    const endpoint = endpointIdSchema.parse('ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB');
    const told = eventsOfDeliveries([
      { webhook_id: 'msg_1', state: 'waiting', attempts: [delivery(1, 100)] },
      { webhook_id: 'msg_1', endpoint, state: 'delivered', attempts: [delivery(1, 200)] },
    ]);
    expect(mergeTimeline([...told, ...told]).events).toEqual([
      { kind: 'delivery_attempt', at: at(100), webhook_id: 'msg_1', attempt: delivery(1, 100) },
      {
        kind: 'delivery_attempt',
        at: at(200),
        webhook_id: 'msg_1',
        endpoint,
        attempt: delivery(1, 200),
      },
    ]);
  });

  it('shows the latest events when there are too many, and says so', () => {
    const many = Array.from(
      { length: timelineEventsMax + 1 },
      (_, n): TimelineEvent => ({ kind: 'running', at: at(n), attempt: n + 1 }),
    );
    const { events, truncated } = mergeTimeline(many);
    expect([events.length, truncated]).toEqual([timelineEventsMax, true]);
    expect(events[0]).toEqual(many[1]);
  });
});

/** One event of each kind, all at one time. */
const atOnce: readonly TimelineEvent[] = [
  { kind: 'accepted', at: at(0), via: 'http' },
  { kind: 'released', at: at(0) },
  { kind: 'running', at: at(0), attempt: 1 },
  { kind: 'cancel_requested', at: at(0) },
  { kind: 'attempt', at: at(0), attempt: attempt(1, 0) },
  ...timelineStepKinds.map((kind) => ({
    kind,
    at: at(0),
    started_at: at(0),
    step: 1,
    workflow_id: jobIdSchema.parse('a'),
    id: 'a',
  })),
  { kind: 'ended', at: at(0), status: 'cancelled' },
  { kind: 'delivery_attempt', at: at(0), webhook_id: 'msg_1', attempt: delivery(1, 0) },
  { kind: 'redriven', at: at(0), job_id: jobIdSchema.parse('b') },
];

describe('events of one millisecond', () => {
  it('stand as one leads to the next, whatever the order in which they come', () => {
    expect(mergeTimeline(atOnce.toReversed()).events).toEqual(atOnce);
    expect(new Set(kindsOf(atOnce)).size).toBe(
      timelineEventSchema.options.length - 1 + timelineStepKinds.length,
    );
  });

  it.each([
    ['2026-11-24T10:00:00Z', '2026-11-24T10:00:00.000Z'],
    ['2026-11-24T10:00:00.0Z', '2026-11-24T10:00:00.000000Z'],
  ])('are of one time when it is written as %s and as %s', (one, other) => {
    const events: TimelineEvent[] = [
      { kind: 'released', at: other },
      { kind: 'accepted', at: one, via: 'http' },
    ];
    expect(kindsOf(mergeTimeline(events).events)).toEqual(['accepted', 'released']);
  });
});

/** Few causes and times, so that they meet. */
const eventArbitrary = fc
  .tuple(fc.nat(5), fc.constantFrom(...atOnce), fc.integer({ min: 1, max: 3 }))
  .map(([ms, event, number]): TimelineEvent => {
    const time = at(ms);
    switch (event.kind) {
      case 'running':
        return { ...event, at: time, attempt: number };
      case 'attempt':
        return { ...event, at: time, attempt: attempt(number, ms) };
      case 'delivery_attempt':
        return { ...event, at: time, attempt: delivery(number, ms) };
      default:
        return { ...event, at: time };
    }
  });

describe('any events', () => {
  it('make one timeline, in whatever order and however often they come', () => {
    const twisted = fc
      .array(eventArbitrary, { maxLength: 30 })
      .chain((events) => fc.tuple(fc.constant(events), fc.subarray(events)))
      .chain(([events, again]) => {
        const all = [...events, ...again];
        const shuffled = fc.shuffledSubarray(all, { minLength: all.length });
        return fc.tuple(fc.constant(events), shuffled);
      });
    fc.assert(
      fc.property(twisted, ([events, shuffled]) => {
        expect(mergeTimeline(shuffled)).toEqual(mergeTimeline(events));
      }),
    );
  });

  it('come out sorted by time, each cause once, and merged again they stay', () => {
    fc.assert(
      fc.property(fc.array(eventArbitrary, { maxLength: 30 }), (given) => {
        const { events } = mergeTimeline(given);
        const times = events.map((event) => Date.parse(event.at));
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        const causes = events.map(causeOf);
        expect(new Set(causes)).toEqual(new Set(given.map(causeOf)));
        expect(new Set(causes).size).toBe(causes.length);
        expect(mergeTimeline(events).events).toEqual(events);
      }),
    );
  });
});

describe('the steps of a run', () => {
  const step = (more: object) =>
    workflowStepSchema.parse({
      step: 1,
      workflow_id: 'j',
      kind: 'started',
      id: 'j',
      at: at(5),
      ...more,
    });

  it('stand where they end, and what is under way where it began', () => {
    const steps = [
      step({}),
      step({ kind: 'model_call', id: 'j/m1', at: at(10), ended_at: at(900), cost_usd: 0.01 }),
      step({ kind: 'tool_call', step: 3, id: 'j/t1', name: 'look', at: at(950), input: { a: 1 } }),
      step({ kind: 'cancel_requested', step: 4, at: at(960) }),
    ];
    const told = eventsOfSteps(steps);
    const { events } = mergeTimeline([...told, ...eventsOfJob(history), ...told]);
    expect(() => timelineEventSchema.array().parse(events)).not.toThrow();
    expect(kindsOf(events)).toEqual([
      'accepted',
      'released',
      'attempt',
      'model_call',
      'tool_call',
      'running',
      'attempt',
      'ended',
    ]);
    expect(events[3]).toMatchObject({ step: 1, at: at(900), started_at: at(10), cost_usd: 0.01 });
    expect(events[4]).toMatchObject({ at: at(950), under_way: true, input: { a: 1 } });
  });

  it('of one id in two sub-agents are two', () => {
    const of = (workflow_id: string) =>
      step({ kind: 'signal', workflow_id, id: 'go', ended_at: at(20) });
    const told = eventsOfSteps([of('j/c1'), of('j/c2'), of('j/c1')]);
    expect(mergeTimeline(told).events).toHaveLength(2);
  });
});
