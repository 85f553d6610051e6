import { describe, expect, it } from '@jest/globals';

import { LaneBook } from './lane-book.ts';
import type { LaneAttempt } from './lane-health.ts';
import type { LaneSignal } from './lane-signal.ts';
import { healthyLane } from './lane.ts';

const lane = { tenant: 'acme', origin: 'https://one.example' };
const atMs = Date.UTC(2026, 10, 23, 12);
const busy: LaneSignal = {
  kind: 'failure',
  timedOut: false,
  overloaded: true,
  blocked: false,
  redirected: false,
  pauseMs: 60_000,
};

function attempt(nowMs: number, changes: Partial<LaneAttempt> = {}): LaneAttempt {
  return { beganAtMs: nowMs, nowMs, isProbe: false, fullCap: 10, isEndpoint: true, ...changes };
}

function closedBook(): LaneBook {
  const book = new LaneBook();
  book.see(lane, { ...healthyLane, askedAtMs: atMs - 10 });
  book.after(lane, busy, attempt(atMs));
  return book;
}

describe('LaneBook', () => {
  it('knows a lane to be closed that this process has closed, until its time is over', () => {
    const book = closedBook();
    expect(book.isClosed(lane, atMs + 59_999)).toBe(true);
    expect(book.isClosed(lane, atMs + 60_000)).toBe(false);
    expect(book.isClosed({ ...lane, tenant: 'globex' }, atMs)).toBe(false);
  });

  it('lets no delivery open it that was given away before its row said so', () => {
    const book = closedBook();
    book.see(lane, { ...healthyLane, askedAtMs: atMs + 5 });
    expect(book.isClosed(lane, atMs + 10)).toBe(true);
    book.closed(lane, atMs + 20);
    book.see(lane, { ...healthyLane, askedAtMs: atMs + 15 });
    expect(book.isClosed(lane, atMs + 30)).toBe(true);
  });

  it('takes it for open when a delivery was given away after that', () => {
    const book = closedBook();
    book.closed(lane, atMs + 20);
    book.see(lane, { ...healthyLane, askedAtMs: atMs + 21 });
    expect(book.isClosed(lane, atMs + 30)).toBe(false);
  });

  it('opens it by the success of a probe', () => {
    const book = closedBook();
    book.after(lane, { kind: 'success' }, attempt(atMs + 10, { isProbe: true }));
    expect(book.isClosed(lane, atMs + 11)).toBe(false);
  });

  it('says nothing of lanes that it does not know', () => {
    const book = new LaneBook();
    expect(book.after(lane, busy, attempt(atMs))).toBeNull();
    expect(book.capOf(lane)).toBeNull();
  });
});
