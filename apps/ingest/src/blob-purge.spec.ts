import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { SilentLogger } from '@millrace/runtime';

import { BlobPurge } from './blob-purge.ts';
import { MemoryToldRuns } from './memory-told-runs.fixture.ts';
import { Documents, LargeBodies } from './ports.ts';

const hourMs = 3_600_000;

class FailingBodies extends LargeBodies {
  purges = 0;

  keep(): Promise<void> {
    return Promise.resolve();
  }

  read(): Promise<null> {
    return Promise.resolve(null);
  }

  purge(): Promise<number> {
    this.purges += 1;
    return Promise.reject(new Error('the database is away'));
  }
}

class NoDocuments extends Documents {
  hasRoom = () => Promise.resolve(true);
  putPiece = () => Promise.resolve();
  discard = () => Promise.resolve();
  create = () => Promise.resolve(null);
  list = () => Promise.resolve([]);
  find = () => Promise.resolve(null);
  remove = () => Promise.resolve(false);
  purge = () => Promise.resolve();
}

describe('BlobPurge', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('deletes at the start and every hour until the stop, whatever fails', async () => {
    const bodies = new FailingBodies();
    const runs = new MemoryToldRuns();
    const purge = new BlobPurge(bodies, new NoDocuments(), runs, new SilentLogger());
    purge.start();
    await jest.advanceTimersByTimeAsync(0);
    expect(bodies.purges).toBe(1);
    await jest.advanceTimersByTimeAsync(2 * hourMs);
    expect(bodies.purges).toBe(3);
    purge.stop();
    await jest.advanceTimersByTimeAsync(2 * hourMs);
    expect(bodies.purges).toBe(3);
  });
});
