import { describe, expect, it } from '@jest/globals';

import { MemoryProcessedWebhooks, processOnce } from './processed-webhooks.ts';

function remembering(options: { rememberedMax?: number } = {}) {
  const time = { ms: 0 };
  const clock = () => time.ms;
  const of = { claimMs: 1_000, rememberMs: 10_000, clock, ...options };
  return { time, processed: new MemoryProcessedWebhooks(of) };
}

describe('processOnce', () => {
  it('runs the handler for the first copy only', async () => {
    const { processed } = remembering();
    let runs = 0;
    const handler = () => ++runs;
    expect(await processOnce(processed, 'a', handler)).toEqual({ status: 'processed', result: 1 });
    expect(await processOnce(processed, 'a', handler)).toEqual({ status: 'already_processed' });
    expect(await processOnce(processed, 'b', handler)).toEqual({ status: 'processed', result: 2 });
  });

  it('says of a copy that comes meanwhile that it is in progress', async () => {
    const { processed } = remembering();
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = processOnce(processed, 'a', () => promise);
    expect(await processOnce(processed, 'a', () => 'second')).toEqual({ status: 'in_progress' });
    resolve();
    expect((await first).status).toBe('processed');
  });

  it('frees what failed, so that the next copy is processed', async () => {
    const { processed } = remembering();
    const failing = () => Promise.reject(new Error('no'));
    await expect(processOnce(processed, 'a', failing)).rejects.toThrow('no');
    expect((await processOnce(processed, 'a', () => 1)).status).toBe('processed');
  });

  it('takes over from who died at it, when the claim is over', async () => {
    const { processed, time } = remembering();
    await processed.claim('a');
    time.ms = 999;
    expect(await processed.claim('a')).toBe('busy');
    time.ms = 1_001;
    expect(await processed.claim('a')).toBe('claimed');
  });

  it('forgets after its time, and the oldest when there are too many', async () => {
    const { processed, time } = remembering({ rememberedMax: 2 });
    for (const id of ['a', 'b', 'c']) await processOnce(processed, id, () => id);
    expect(await processed.claim('b')).toBe('processed');
    expect(await processed.claim('a')).toBe('claimed');
    time.ms = 10_001;
    expect(await processed.claim('c')).toBe('claimed');
  });
});
