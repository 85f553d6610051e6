import { describe, expect, it } from '@jest/globals';
import { workflowRequestedSchema, workflowSignalledSchema } from '@millrace/contracts';

import { fold, type FoldedEvent, type HeldWorkflow } from './fold.ts';
import type { Decision, Reducer, WorkflowEvent } from './workflow.ts';

const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };
const request = workflowRequestedSchema.parse({
  tenant: 'default',
  job_id: 'job-1',
  type: 'agent',
  reply: { kind: 'job', created_at: '2026-11-24T10:00:00.000Z' },
});

/** Counts; a signal's name says what else it does. */
const reducer: Reducer<{ readonly count: number }> = {
  kind: 'agent',
  schemaVersion: 1,
  decide: ({ state, version }, event): Decision<{ readonly count: number }> => {
    const name = event.type === 'signalled' ? event.data.name : 'count';
    if (name === 'throws') throw new Error('a bug');
    if (name === 'ignored') return { kind: 'ignored', why: 'as it was asked' };
    const status = name === 'waits' ? 'awaiting_signal' : 'running';
    const count = version === 0 ? 1 : state.count + 1;
    return { kind: 'changed', status, state: { count }, commands: [] };
  },
  view: () => ({ approvals: [], spent, signals: [], tainted: false }),
  outstanding: () => [],
};

function folded(event: WorkflowEvent): FoldedEvent {
  return { event, stored: event, head: null, unparks: false };
}

const start: FoldedEvent = {
  ...folded({ eventId: 'requested', type: 'requested', data: request }),
  head: request,
};

function signal(id: string, name = 'count'): FoldedEvent {
  const data = workflowSignalledSchema.parse({
    tenant: 'default',
    workflow_id: 'job-1',
    created_at: '2026-11-24T10:00:00.000Z',
    name,
    signal_id: id,
    data: null,
  });
  return folded({ eventId: `signal:${id}`, type: 'signalled', data });
}

function foldAll(
  events: readonly FoldedEvent[],
  more: { held?: HeldWorkflow | null; known?: readonly string[]; reducers?: Reducer[] } = {},
) {
  const { held = null, known = [], reducers = [reducer] } = more;
  return fold({ held, known: new Set(known), events, nowMs: 1_000, reducers });
}

function kindsOf({ outcomes }: ReturnType<typeof fold>): string[] {
  return outcomes.map(({ kind }) => kind);
}

describe('folding the events of one workflow', () => {
  it('makes each one that changes it a version, in their order', () => {
    const { next, outcomes } = foldAll([start, signal('1'), signal('2', 'ignored'), signal('3')]);
    expect(next).toMatchObject({ version: 3, state: { count: 3 }, status: 'running' });
    expect(
      outcomes.map((outcome) => (outcome.kind === 'applied' ? outcome.entry.version : null)),
    ).toEqual([1, 2, null, 3]);
    expect(outcomes[2]).toEqual({ kind: 'ignored', why: 'as it was asked' });
  });

  it('knows what the journal has, and the second copy within a batch', () => {
    const { next: held } = foldAll([start]);
    const again = foldAll([start, signal('1'), signal('1')], { held, known: ['requested'] });
    expect(kindsOf(again)).toEqual(['known', 'applied', 'known']);
    expect(again.next?.version).toBe(2);
  });

  it('begins nothing by an event that is no request', () => {
    expect(foldAll([signal('1')])).toEqual({ outcomes: [{ kind: 'unknown' }], next: null });
  });

  it('tells what the job waits for when that changes, and that it runs once', () => {
    const events = [start, signal('1'), signal('2', 'waits'), signal('3', 'waits'), signal('4')];
    const told = foldAll(events).outcomes.map((outcome) =>
      outcome.kind === 'applied' ? outcome.entry.told : null,
    );
    expect(told).toEqual(['running', undefined, 'awaiting_signal', undefined, 'running']);
  });

  it('parks at what a reducer throws on, with what comes after it', () => {
    const result = foldAll([start, signal('1', 'throws'), signal('2')]);
    expect(kindsOf(result)).toEqual(['applied', 'parked', 'parked']);
    expect(result.next).toMatchObject({ version: 1, status: 'parked', parkedCode: 'internal' });
  });

  it('goes on when what was parked is tried again and can be decided', () => {
    const { next: held } = foldAll([start, signal('1', 'throws')]);
    const retried = { ...signal('1'), unparks: true };
    const result = foldAll([retried], { held });
    expect(result.next).toMatchObject({ version: 2, status: 'running', parkedCode: null });
  });

  it('lets the rest wait when the first of what was parked parks again', () => {
    const { next: held } = foldAll([start, signal('1', 'throws')]);
    const retried = [signal('1', 'throws'), signal('2'), signal('3')];
    const result = foldAll(
      retried.map((each) => ({ ...each, unparks: true })),
      { held },
    );
    expect(kindsOf(result)).toEqual(['parked', 'parked', 'parked']);
    expect(result.next).toMatchObject({ version: 1, status: 'parked', parkedCode: 'internal' });
  });

  describe('of a run that no reducer here knows', () => {
    const reducers = [{ ...reducer, schemaVersion: 3 }];
    const parked = () => foldAll([signal('1')], { held: foldAll([start]).next, reducers }).next;
    const endOf = ({ outcomes: [outcome] }: ReturnType<typeof fold>) => {
      const [command] = outcome?.kind === 'applied' ? outcome.entry.commands : [];
      return command?.kind === 'finish' ? command.end : undefined;
    };
    const fire = (name: string) => folded({ eventId: `t:${name}`, type: 'timer_fired', name });
    const cancel = folded({ eventId: 'cancel', type: 'cancel_requested' });

    it('ends it by a cancel, and all that comes later finds the end', () => {
      const result = foldAll([cancel, signal('2')], { held: parked(), reducers });
      expect(kindsOf(result)).toEqual(['applied', 'ignored']);
      expect(result.next).toMatchObject({ version: 2, status: 'cancelled', parkedCode: null });
      expect(endOf(result)).toMatchObject({ error: { code: 'cancelled' }, spent });
    });

    it('ends it when its time is over', () => {
      const late = foldAll([fire('deadline')], { held: parked(), reducers });
      expect(endOf(late)).toMatchObject({
        status: 'failed',
        error: { code: 'unknown_workflow_version' },
      });
      const other = foldAll([fire('tool:job-1/t1')], { held: parked(), reducers });
      expect(kindsOf(other)).toEqual(['parked']);
    });

    it('ends it when the job has to have ended, and not before', () => {
      const held = parked()!;
      const due = { ...held, head: { ...held.head, complete_by: '1970-01-01T00:00:01.000Z' } };
      const ends = endOf(foldAll([fire('complete_by')], { held: due, reducers }));
      expect(ends).toMatchObject({ status: 'expired', error: { code: 'deadline_exceeded' } });
      const later = { ...held, head: { ...held.head, complete_by: '1970-01-01T00:00:09.000Z' } };
      const early = foldAll([fire('complete_by')], { held: later, reducers });
      expect(kindsOf(early)).toEqual(['parked']);
    });

    it('gives one that has not even begun timers, since nobody else does', () => {
      const head = { ...request, complete_by: '2026-11-25T00:00:00.000Z' };
      const { next, outcomes } = foldAll([{ ...start, head }], { reducers: [] });
      expect(next).toMatchObject({ version: 0, status: 'parked' });
      expect(outcomes[0]).toMatchObject({
        timers: [
          { name: 'deadline', at: 86_401_000 },
          { name: 'complete_by', at: Date.parse(head.complete_by) },
        ],
      });
      const ends = foldAll([fire('deadline')], { held: next });
      expect(endOf(ends)).toMatchObject({ status: 'failed' });
      const begins = foldAll([{ ...start, unparks: true }], { held: next });
      expect(begins.next).toMatchObject({ version: 1, schemaVersion: 1, status: 'running' });
    });
  });

  it('ends a run by a cancel though its reducer throws on it', () => {
    const { next: held } = foldAll([start]);
    const decide = () => {
      throw new Error('a bug');
    };
    const cancel = folded({ eventId: 'cancel', type: 'cancel_requested' });
    const result = foldAll([cancel], { held, reducers: [{ ...reducer, decide }] });
    expect(result.next).toMatchObject({ version: 2, status: 'cancelled' });
    expect(result.outcomes[0]).toMatchObject({ kind: 'applied', ended: { code: 'internal' } });
  });

  it('parks a state that no reducer here knows', () => {
    const { next: held } = foldAll([start]);
    const result = foldAll([signal('1')], { held, reducers: [{ ...reducer, schemaVersion: 3 }] });
    expect(result.next).toMatchObject({ version: 1, parkedCode: 'unknown_workflow_version' });
  });
});
