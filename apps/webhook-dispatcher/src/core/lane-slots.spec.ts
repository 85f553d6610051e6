import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { aheadMax, defaultTerms, LaneSlots, type LaneTerms } from './lane-slots.ts';
import type { Lane } from './lane.ts';

const one = { tenant: 'acme', origin: 'https://one.example' };
const other = { tenant: 'acme', origin: 'https://other.example' };
const nowMs = 10_000;
/** Of an endpoint that asks for nothing. */
const ten: LaneTerms = { cap: 10, ratePerSecond: null };

function heldBy(slots: LaneSlots, lane: Lane, count: number, terms = ten): void {
  for (let i = 0; i < count; i += 1) slots.hold(lane, terms, nowMs);
}

/** How many more a plan gives to a lane, and then a claim that brings nothing. */
function roomFor(
  slots: LaneSlots,
  lane: Lane,
  at = nowMs,
  terms: LaneTerms = ten,
): number {
  const plan = slots.plan(at);
  let room = 0;
  while (room < 1_000 && plan.take(lane, terms)) room += 1;
  const busy = slots.busy(at).map((each) => ({ ...each, room: 1 }));
  slots.brought({ busy, crowded: [] }, [], at);
  // Which forgets what is not used.
  slots.busy(at);
  return room;
}

/** A claim with all rooms as they are, and the runs that it begins. */
function brings(slots: LaneSlots, ...lanes: (Lane | number)[]): void {
  const rooms = { busy: slots.busy(nowMs), crowded: slots.crowded() };
  const given = lanes.flatMap((lane, i) => {
    const count = lanes[i + 1];
    return typeof lane === 'number' || typeof count !== 'number'
      ? []
      : Array.from({ length: count }, () => ({ ...lane, terms: ten }));
  });
  slots.brought(rooms, given, nowMs);
  for (const lane of given) slots.hold(lane, ten, nowMs);
}

/** So many POSTs to the lane have just been answered. */
function answers(slots: LaneSlots, lane: Lane, count: number): void {
  for (let i = 0; i < count; i += 1) {
    slots.hold(lane, ten, nowMs);
    slots.begin(lane);
    slots.end(lane, { answered: true, nowMs });
    slots.letGo(lane, nowMs);
  }
}

describe('LaneSlots', () => {
  it('gives a lane as many slots as its cap, fifty when nobody says one', () => {
    const slots = new LaneSlots({ slotsMax: 500 });
    expect(roomFor(slots, one, nowMs, defaultTerms)).toBe(50);
    expect(roomFor(slots, one)).toBe(10);
    expect(roomFor(slots, one, nowMs, { cap: 3, ratePerSecond: null })).toBe(3);
    heldBy(slots, one, 4);
    expect(roomFor(slots, one)).toBe(6);
    expect(roomFor(slots, other)).toBe(10);
    expect(slots.busy(nowMs)).toEqual([{ ...one, room: 6 }]);
  });

  it('gives all lanes of one tenant a quarter of the slots', () => {
    const slots = new LaneSlots({ slotsMax: 200 });
    for (let i = 0; i < 10; i += 1) {
      const lane = { tenant: 'acme', origin: `https://hangs-${i}.example` };
      heldBy(slots, lane, Math.min(10, roomFor(slots, lane)));
    }
    expect(slots.crowded()).toEqual([{ tenant: 'acme', room: 0 }]);
    expect(slots.busy(nowMs).reduce((sum, { room }) => sum + 10 - room, 0)).toBe(50);
    expect(roomFor(slots, { ...one, tenant: 'globex' })).toBe(10);
  });

  it('begins no more POSTs than the cap says, whatever is held', () => {
    const slots = new LaneSlots({ slotsMax: 500 });
    heldBy(slots, one, 15);
    const begun = Array.from({ length: 15 }, () => slots.begin(one));
    expect(begun.filter(Boolean)).toHaveLength(10);
    slots.end(one, { answered: true, nowMs });
    expect([slots.begin(one), slots.begin(one)]).toEqual([true, false]);
    slots.setCap(one, 2);
    slots.end(one, { answered: true, nowMs });
    expect(slots.begin(one)).toBe(false);
  });

  it('lets a lane that answers hold some more, by its pace, and one that stops no longer', () => {
    const slots = new LaneSlots({ slotsMax: 4_000 });
    answers(slots, one, 30);
    expect(roomFor(slots, one)).toBe(10 + 15);
    answers(slots, one, 600);
    expect(roomFor(slots, one)).toBe(10 + aheadMax);
    expect(roomFor(slots, one, nowMs + 2_001)).toBe(10);
    expect(slots.busy(nowMs + 4_002)).toEqual([]);
  });

  it('gives one that only times out nothing more', () => {
    const slots = new LaneSlots({ slotsMax: 500 });
    heldBy(slots, one, 10);
    slots.begin(one);
    slots.end(one, { answered: false, nowMs });
    slots.letGo(one, nowMs);
    slots.letGo(one, nowMs);
    expect(roomFor(slots, one)).toBe(2);
  });

  it('wants a claim for a lane that was given all its room, and for one that was not never', () => {
    const slots = new LaneSlots({ slotsMax: 500 });
    brings(slots, one, 10);
    brings(slots, other, 9);
    expect(slots.letGo(other, nowMs)).toBe(false);
    expect(slots.letGo(one, nowMs)).toBe(true);
    expect(slots.letGo(one, nowMs)).toBe(true);
    brings(slots, one, 1);
    expect(slots.letGo(one, nowMs)).toBe(false);
  });

  it('wants it when half of what it holds ahead is gone, not for each that ends', () => {
    const slots = new LaneSlots({ slotsMax: 4_000 });
    answers(slots, one, 100);
    brings(slots, one, 10 + 50);
    const wanted = Array.from({ length: 30 }, () => slots.letGo(one, nowMs));
    expect(wanted.indexOf(true)).toBe(24);
  });

  it('lets nothing new overtake what is waiting', () => {
    const slots = new LaneSlots({ slotsMax: 500 });
    const plan = slots.plan(nowMs);
    const taken = Array.from({ length: 12 }, () => plan.take(one, ten));
    expect(taken.filter(Boolean)).toHaveLength(10);
    heldBy(slots, one, 10);
    expect(slots.letGo(one, nowMs)).toBe(true);
    expect(slots.plan(nowMs).take(one, ten)).toBe(false);
    expect(slots.plan(nowMs).take(other, ten)).toBe(true);
    brings(slots, one, 0);
    expect(slots.plan(nowMs).take(one, ten)).toBe(true);
  });

  it('wants a claim for a tenant that was given all its room', () => {
    const slots = new LaneSlots({ slotsMax: 40 });
    brings(slots, one, 5, other, 5);
    expect(slots.crowded()).toEqual([{ tenant: 'acme', room: 0 }]);
    expect(slots.letGo(one, nowMs)).toBe(true);
    expect(slots.letGo(other, nowMs)).toBe(true);
    brings(slots, one, 1);
    expect(slots.letGo(one, nowMs)).toBe(false);
  });

  it('gives a lane with a rate so many a second and no more, however long that goes on', () => {
    const rates = fc.double({ min: 0.5, max: 40, noNaN: true });
    const steps = fc.array(fc.nat(700), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(rates, steps, (ratePerSecond, waits) => {
        const slots = new LaneSlots({ slotsMax: 4_000 });
        const terms = { cap: 50, ratePerSecond };
        let at = nowMs;
        let given = 0;
        for (const waitMs of waits) {
          at += waitMs;
          const room = roomFor(slots, one, at, terms);
          for (let i = 0; i < room; i += 1) {
            slots.hold(one, terms, at);
            slots.letGo(one, at);
          }
          given += room;
        }
        const seconds = (at - nowMs) / 1_000;
        const most = Math.max(1, ratePerSecond) + ratePerSecond * seconds;
        expect(given).toBeLessThanOrEqual(most + 1e-6);
      }),
    );
  });

  it('says when the next token of a lane with a rate comes', () => {
    const slots = new LaneSlots({ slotsMax: 500 });
    const terms = { cap: 10, ratePerSecond: 2 };
    expect(roomFor(slots, one, nowMs, terms)).toBe(2);
    heldBy(slots, one, 2, terms);
    expect(slots.nextTokenInMs(nowMs)).toBe(500);
    expect(slots.nextTokenInMs(nowMs + 500)).toBeNull();
    expect(roomFor(slots, one, nowMs + 500, terms)).toBe(1);
  });
});
