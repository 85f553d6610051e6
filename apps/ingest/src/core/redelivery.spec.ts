import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  legEnd,
  orderRedelivery,
  redeliveryIdOf,
  walkStep,
  type FoundEnd,
  type Leg,
  type Look,
  type Place,
} from './redelivery.ts';

const now = new Date('2030-01-31T12:00:00.000Z');
const dayMs = 86_400_000;
const ago = (ms: number) => new Date(now.getTime() - ms).toISOString();

describe('the times of a redelivery', () => {
  it('end now when nothing is said', () => {
    expect(orderRedelivery({ since: ago(dayMs) }, now)).toMatchObject({
      since: new Date(ago(dayMs)),
      until: now,
    });
  });

  it.each([
    ['29 days ago', { since: ago(29 * dayMs) }, undefined],
    ['a moment more than that', { since: ago(29 * dayMs + 1) }, 'since'],
    ['now', { since: ago(0) }, 'since'],
    ['ahead', { since: ago(-1) }, 'since'],
    ['until now', { since: ago(1), until: ago(0) }, undefined],
    ['until a time ahead', { since: ago(1), until: ago(-1) }, 'until'],
    ['until they begin', { since: ago(1), until: ago(1) }, 'until'],
    ['until before they begin', { since: ago(1), until: ago(2) }, 'until'],
  ])('%s', (_what, asked, refused) => {
    const order = () => orderRedelivery(asked, now);
    if (refused === undefined) return expect(order).not.toThrow();
    const errors = [{ path: refused, message: expect.any(String) }];
    return expect(order).toThrow(expect.objectContaining({ errors }));
  });

  it('are the same request however they are written, and another with another end', () => {
    const hash = (since: string, until?: string) =>
      orderRedelivery({ since, until }, now).requestHash.toString('hex');
    expect(hash('2030-01-30T12:00:00Z')).toBe(hash('2030-01-30T14:00:00.000+02:00'));
    expect(hash('2030-01-30T12:00:00Z')).not.toBe(hash('2030-01-30T12:00:00Z', ago(0)));
  });
});

describe('the id of a redelivery', () => {
  it('derives from its idempotency key', () => {
    expect(redeliveryIdOf('a')).toMatch(/^rdl_[0-9a-f]{32}$/);
    expect(redeliveryIdOf('a')).toBe(redeliveryIdOf('a'));
    expect(redeliveryIdOf('a')).not.toBe(redeliveryIdOf('b'));
  });
});

/** A job of the model: by its number accepted, ended or not within the time. */
interface ModelJob {
  readonly acceptedMs: number;
  readonly ended: boolean;
  readonly bytes: number;
}

const sinceMs = 50;
const untilMs = 100;
const times = { since: new Date(sinceMs), until: new Date(untilMs) };
const bodyBytesMax = 40;

/** What Postgres answers: the jobs after a place, `lookedMax` of them, of these `endsMax` ends. */
function look(
  jobs: readonly ModelJob[],
  leg: Leg,
  after: Place,
  o: { lookedMax: number; endsMax: number },
): Look {
  const afterMs = after.createdAt === '-infinity' ? -Infinity : Number(after.createdAt);
  const sorted = jobs
    .map((job, index) => ({ ...job, id: String(index).padStart(4, '0') }))
    .sort((a, b) => a.acceptedMs - b.acceptedMs || (a.id < b.id ? -1 : 1));
  const ahead = sorted.filter(
    ({ acceptedMs, id }) =>
      (acceptedMs > afterMs || (acceptedMs === afterMs && id > after.id)) &&
      acceptedMs < legEnd(leg, times).getTime(),
  );
  const looked = ahead.slice(0, o.lookedMax);
  const found = looked
    .filter(({ ended }) => ended)
    .slice(0, o.endsMax)
    .map(({ acceptedMs, id, bytes }): FoundEnd => {
      return { createdAt: String(acceptedMs), id, day: '1970-01-01', bytes };
    });
  const last = looked.length === o.lookedMax ? looked.at(-1) : undefined;
  return {
    found,
    lookedTo: last === undefined ? null : { createdAt: String(last.acceptedMs), id: last.id },
  };
}

describe('a walk', () => {
  const jobs = fc.array(
    fc.record({
      acceptedMs: fc.integer({ min: 0, max: 120 }),
      ended: fc.boolean(),
      bytes: fc.integer({ min: 1, max: bodyBytesMax }),
    }),
    { maxLength: 60 },
  );

  it('tells every end once, in steps within their limits, whatever a look holds', () => {
    const limits = fc.record({
      endsMax: fc.integer({ min: 1, max: 10 }),
      bytesMax: fc.integer({ min: 1, max: 100 }),
      lookedMax: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(jobs, limits, (given, { bytesMax, endsMax, lookedMax }) => {
        const told: string[] = [];
        let at: { leg: Leg; after: Place } | null = {
          leg: 'since',
          after: { createdAt: String(sinceMs), id: '' },
        };
        for (let steps = 0; at !== null; steps += 1) {
          expect(steps).toBeLessThan(2 * given.length + 4);
          const found: Look = look(given, at.leg, at.after, { lookedMax, endsMax });
          const step = walkStep(at.leg, found, { endsMax, bytesMax });
          expect(step.told.length).toBeLessThanOrEqual(endsMax);
          const bytes = step.told.reduce((sum, end) => sum + end.bytes, 0);
          expect(step.told.length === 1 || bytes <= bytesMax).toBe(true);
          told.push(...step.told.map(({ id }) => id));
          at = step.next;
        }
        const wanted = given.flatMap(({ acceptedMs, ended }, index) =>
          ended && acceptedMs < untilMs ? [String(index).padStart(4, '0')] : [],
        );
        expect([...told].sort()).toEqual(wanted);
      }),
    );
  });

  it('goes from the jobs of its time to those before it, and ends', () => {
    const nothing: Look = { found: [], lookedTo: null };
    const limits = { endsMax: 2, bytesMax: 10 };
    const { next } = walkStep('since', nothing, limits);
    expect(next).toEqual({ leg: 'before', after: { createdAt: '-infinity', id: '' } });
    expect(walkStep('before', nothing, limits).next).toBeNull();
  });
});
