import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

import { letIdleConnectionsSleep } from './kafkajs-idle-connections.ts';

letIdleConnectionsSleep();
beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const sent: number[] = [];
beforeEach(() => void sent.splice(0));

function queue(): RequestQueue {
  const logger = { debug: () => undefined, warn: () => undefined };
  return new RequestQueue({ requestTimeout: 1_000, maxInFlightRequests: 1, broker: 'b', logger });
}

function push(to: RequestQueue, correlationId: number): void {
  const entry = { correlationId, resolve: () => undefined, reject: () => undefined };
  to.push({ entry, expectResponse: true, sendRequest: () => void sent.push(correlationId) });
}

function answer(to: RequestQueue, correlationId: number): void {
  to.fulfillRequest({ correlationId, payload: null, size: 0 });
}

it('a connection on which nothing waits has no timer', () => {
  const idle = queue();
  push(idle, 1);
  answer(idle, 1);
  expect(sent).toEqual([1]);
  expect(jest.getTimerCount()).toBe(0);
});

it('what waits for an answer in flight is sent with it, and again there is no timer', () => {
  const busy = queue();
  push(busy, 1);
  push(busy, 2);
  expect(sent).toEqual([1]);
  answer(busy, 1);
  answer(busy, 2);
  expect(sent).toEqual([1, 2]);
  jest.advanceTimersByTime(10);
  expect(jest.getTimerCount()).toBe(0);
});

it('what the broker throttles is sent when the time is over', () => {
  const throttled = queue();
  throttled.maybeThrottle(500);
  push(throttled, 1);
  jest.advanceTimersByTime(499);
  expect(sent).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(sent).toEqual([1]);
});

it('a closed connection looks no more', () => {
  const closed = queue();
  closed.maybeThrottle(500);
  push(closed, 1);
  closed.destroy();
  jest.advanceTimersByTime(1_000);
  expect(sent).toEqual([]);
  expect(jest.getTimerCount()).toBe(0);
});
