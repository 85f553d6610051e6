import { describe, expect, it } from '@jest/globals';
import { tenantIdSchema, type ClaudeBacklog, type Lane } from '@millrace/contracts';
import fc from 'fast-check';

import {
  decideAdmission,
  platformWaitingMax,
  type AdmissionDecision,
  type Load,
  type ProcessLoad,
} from './admission.ts';

const tenant = tenantIdSchema.parse('default');
const other = tenantIdSchema.parse('other');
const limits = { tenantWaitingMax: 1_000, ageMsMax: 600_000 };
const minuteMs = 60_000;
const idle: ProcessLoad = { commitsWaiting: 0, oldestCommitMs: 0, loopDelayMs: 0 };
const lanes: readonly Lane[] = ['interactive', 'standard', 'bulk'];

function backlogOf(more: Partial<ClaudeBacklog> = {}): ClaudeBacklog {
  return {
    counted_at: '2026-01-01T00:00:00Z',
    waiting: 0,
    oldest_ms: {},
    tenants: [],
    ...more,
  };
}

function decide(load: Partial<Load>, lane: Lane = 'standard', random = 0): AdmissionDecision {
  const whole = { process: idle, backlog: null, ...load };
  return decideAdmission({ tenant, lane }, whole, { limits, random });
}

function refusedLanes(backlog: ClaudeBacklog): Lane[] {
  return lanes.filter((lane) => decide({ backlog }, lane).kind === 'refuse');
}

describe('admission', () => {
  it('admits while nothing waits, and while nobody says what does', () => {
    expect(decide({ backlog: backlogOf() })).toEqual({ kind: 'admit' });
    expect(decide({ backlog: null })).toEqual({ kind: 'admit' });
  });

  it.each([
    ['too many commits', { commitsWaiting: 10_000 }, 'commits'],
    ['a database that hangs', { oldestCommitMs: 5_001 }, 'commit_age'],
    ['a busy event loop', { loopDelayMs: 1_001 }, 'event_loop'],
  ])('refuses every lane for %s', (_what, more, reason) => {
    for (const lane of lanes) {
      const refused = decide({ process: { ...idle, ...more } }, lane);
      expect(refused).toMatchObject({ kind: 'refuse', code: 'overloaded', reason });
    }
  });

  it('refuses a tenant whose own queue is full, and no other', () => {
    const full = backlogOf({ waiting: 1_000, tenants: [{ tenant, waiting: 1_000 }] });
    expect(decide({ backlog: full })).toMatchObject({ code: 'queue_full', reason: 'tenant_depth' });
    const theirs = backlogOf({ waiting: 1_000, tenants: [{ tenant: other, waiting: 1_000 }] });
    expect(decide({ backlog: theirs })).toEqual({ kind: 'admit' });
  });

  it('leaves only interactive work in when the queue is longer than is counted', () => {
    expect(refusedLanes(backlogOf({ waiting: platformWaitingMax }))).toEqual(['standard', 'bulk']);
  });

  it.each<[string, ClaudeBacklog['oldest_ms'], readonly Lane[]]>([
    ['nothing for young calls', { standard: 4 * minuteMs, interactive: 50_000 }, []],
    ['bulk when standard calls wait', { standard: 5 * minuteMs }, ['bulk']],
    ['bulk when interactive ones do', { interactive: minuteMs }, ['bulk']],
    ['standard as well when they are late', { standard: 10 * minuteMs }, ['standard', 'bulk']],
    ['the same by interactive ones', { interactive: 2 * minuteMs }, ['standard', 'bulk']],
    ['interactive last', { interactive: 3 * minuteMs }, lanes],
    ['no lane that goes before a late one', { standard: 600 * minuteMs }, ['standard', 'bulk']],
    ['no bulk that waits for hours', { bulk: 300 * minuteMs }, []],
    ['bulk when that takes too many', { bulk: 360 * minuteMs }, ['bulk']],
  ])('refuses %s', (_what, oldest, refused) => {
    expect(refusedLanes(backlogOf({ oldest_ms: oldest }))).toEqual(refused);
  });

  it('refuses bulk first, then standard, then interactive, whatever waits', () => {
    const age = fc.option(fc.integer({ min: 0, max: 1_000 * minuteMs }), { nil: undefined });
    const ages = fc.record({ interactive: age, standard: age, bulk: age });
    fc.assert(
      fc.property(ages, fc.integer({ min: 0, max: 1_000_000 }), (oldest, waiting) => {
        const refused = refusedLanes(backlogOf({ oldest_ms: oldest, waiting }));
        expect(refused).toEqual(lanes.slice(lanes.length - refused.length));
      }),
    );
  });

  it('spreads the next tries', () => {
    const process = { ...idle, oldestCommitMs: 6_000 };
    const waits = [0, 0.5, 0.99].map((random) => decide({ process }, 'standard', random));
    expect(waits).toMatchObject([2, 5, 8].map((retryAfterSeconds) => ({ retryAfterSeconds })));
  });
});
