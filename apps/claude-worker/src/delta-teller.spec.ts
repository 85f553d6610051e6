import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  claudeDeltaSchema,
  IdentityPayloadCodec,
  topics,
  type OutgoingMessage,
} from '@millrace/contracts';
import { SilentLogger } from '@millrace/runtime';

import type { Call } from './core/call.ts';
import { sampleCallRequest } from './core/sample-call.ts';
import { DeltaTeller } from './delta-teller.ts';

const lingerMs = 20;
const call: Call = {
  ...sampleCallRequest,
  stream: true,
  owner: 'p1',
  attempt: 1,
  failures: 0,
  redispatches: 0,
  cancelRequested: false,
  createdAtMs: 0,
  dispatchedAtMs: 0,
  closedAttempts: [],
  unreadable: [],
};

describe('a teller of streamed text', () => {
  /** Each publish: the texts of its events. */
  let told: string[][] = [];
  let publishing: Promise<void> = Promise.resolve();
  let teller: DeltaTeller;

  beforeEach(() => {
    jest.useFakeTimers();
    told = [];
    publishing = Promise.resolve();
    const publish = (messages: readonly OutgoingMessage[]): Promise<void> => {
      told.push(messages.map(textOf));
      return publishing;
    };
    const codec = new IdentityPayloadCodec();
    teller = new DeltaTeller({ publish, codec, lingerMs, log: new SilentLogger() });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('tells the first piece at once, and what follows when the linger is over', async () => {
    const stream = teller.open(call);
    stream.push('a');
    expect(told).toEqual([['a']]);
    await jest.advanceTimersByTimeAsync(0);
    stream.push('b');
    await jest.advanceTimersByTimeAsync(lingerMs - 1);
    stream.push('c');
    expect(told).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(told).toEqual([['a'], ['bc']]);
  });

  it('waits for no linger when 2 KiB of one stream are there', async () => {
    const stream = teller.open(call);
    stream.push('a');
    await jest.advanceTimersByTimeAsync(0);
    stream.push('b'.repeat(2047));
    expect(told).toHaveLength(1);
    stream.push('c');
    expect(told).toEqual([['a'], [`${'b'.repeat(2047)}c`]]);
    await jest.advanceTimersByTimeAsync(0);
    // The next piece has a linger of its own again.
    stream.push('d');
    await jest.advanceTimersByTimeAsync(lingerMs - 1);
    expect(told).toHaveLength(2);
    await jest.advanceTimersByTimeAsync(1);
    expect(told[2]).toEqual(['d']);
  });

  it('tells what waits when the text is over', async () => {
    const stream = teller.open(call);
    stream.push('a');
    await jest.advanceTimersByTimeAsync(0);
    stream.push('b');
    stream.end();
    expect(told).toEqual([['a'], ['b']]);
  });

  it('lets no call wait for a publish that hangs, and tells the rest after it', async () => {
    const hanging = Promise.withResolvers<void>();
    publishing = hanging.promise;
    const stream = teller.open(call);
    stream.push('a');
    for (let i = 0; i < 10; i += 1) stream.push('b'.repeat(1000));
    // Nothing here returns a promise: a call that ends waits for none of it.
    stream.end();
    await jest.advanceTimersByTimeAsync(10 * lingerMs);
    expect(told).toEqual([['a']]);
    publishing = Promise.resolve();
    hanging.resolve();
    await jest.advanceTimersByTimeAsync(0);
    expect(told).toEqual([['a'], ['b'.repeat(10_000)]]);
  });
});

function textOf({ topic, value }: OutgoingMessage): string {
  expect(topic).toBe(topics.claudeDeltas.name);
  return claudeDeltaSchema.parse(JSON.parse(String(value))).text;
}
