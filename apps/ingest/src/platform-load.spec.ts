import { describe, expect, it } from '@jest/globals';
import type { ClaudeBacklog } from '@millrace/contracts';

import { PlatformLoad } from './platform-load.ts';

const backlog: ClaudeBacklog = {
  counted_at: '2026-01-01T00:00:00Z',
  waiting: 1,
  oldest_ms: {},
  tenants: [],
};

describe('what the worker told of its queue', () => {
  it('is nothing before it is told, and counts for half a minute', () => {
    const load = new PlatformLoad();
    expect(load.backlog(0)).toBeNull();
    load.tell(backlog, 1_000);
    expect(load.backlog(31_000)).toBe(backlog);
    expect(load.backlog(31_001)).toBeNull();
  });
});
