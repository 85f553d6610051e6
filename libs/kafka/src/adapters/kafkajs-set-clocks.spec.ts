import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js';

import { sendHeartbeatsAfterTheClockWasSetBack } from './kafkajs-set-clocks.ts';

sendHeartbeatsAfterTheClockWasSetBack();

const hourMs = 3_600_000;
const interval = 3_000;

beforeEach(() => void jest.useFakeTimers({ now: 10 * hourMs }));
afterEach(() => void jest.useRealTimers());

/** A member of a group, whose coordinator counts heartbeats. */
function member() {
  const sent = { count: 0 };
  const heartbeat = () => {
    sent.count += 1;
    return Promise.resolve();
  };
  const group = new ConsumerGroup({
    logger: { namespace: () => ({}) },
    instrumentationEmitter: { emit: () => undefined },
    topics: [],
    topicConfigurations: {},
  });
  Object.assign(group, { memberId: 'm', coordinator: { heartbeat } });
  return { group, sent };
}

it.each([
  ['goes on by itself', 0, 1],
  ['was set back by an hour', -hourMs, 1],
  // One too many, which harms nobody.
  ['was set forward by an hour', hourMs, 2],
])('a heartbeat is sent an interval later by a clock that %s', async (_, stepMs, expected) => {
  const { group, sent } = member();
  await group.heartbeat({ interval });
  jest.setSystemTime(Date.now() + stepMs);
  await group.heartbeat({ interval });
  jest.setSystemTime(Date.now() + interval);
  await group.heartbeat({ interval });
  expect(sent.count).toBe(expected);
  await group.heartbeat({ interval });
  expect(sent.count).toBe(expected);
});
