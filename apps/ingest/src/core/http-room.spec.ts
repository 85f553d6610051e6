import { describe, expect, it } from '@jest/globals';

import { ordinaryBodyBytesMax, roomFor } from './http-room.ts';

const mib = 1024 * 1024;
const limits = { requestsMax: 100, bodyBytesMax: 100 * mib };
const free = { requests: 1, bodyBytes: 0 };
const o = { limits, random: 0 };

describe('the room for requests', () => {
  it('is there for the first, and for the last that fits', () => {
    expect(roomFor(0, free, o).kind).toBe('enough');
    expect(roomFor(0, { requests: 99, bodyBytes: 0 }, o).kind).toBe('enough');
    expect(roomFor(75 * mib, free, o).kind).toBe('enough');
  });

  it('ends with the number of requests', () => {
    const full = roomFor(0, { requests: 100, bodyBytes: 0 }, o);
    expect(full).toMatchObject({ kind: 'none', reason: 'requests' });
  });

  it('ends for large bodies before it ends for ordinary ones', () => {
    const crowded = { requests: 10, bodyBytes: 75 * mib };
    const large = roomFor(ordinaryBodyBytesMax + 1, crowded, o);
    expect(large).toMatchObject({ kind: 'none', reason: 'body_bytes' });
    expect(roomFor(ordinaryBodyBytesMax, crowded, o).kind).toBe('enough');
    const full = { requests: 10, bodyBytes: 100 * mib };
    expect(roomFor(1, full, o)).toMatchObject({ kind: 'none', reason: 'body_bytes' });
  });

  it('spreads those who are refused over some seconds', () => {
    const full = { requests: 100, bodyBytes: 0 };
    const waits = [0, 0.3, 0.6, 0.99].map((random) => roomFor(0, full, { limits, random }));
    expect(waits).toMatchObject([1, 2, 4, 5].map((retryAfterSeconds) => ({ retryAfterSeconds })));
  });
});
