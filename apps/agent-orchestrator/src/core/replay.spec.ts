import { describe, expect, it } from '@jest/globals';
import { workflowRequestedSchema } from '@millrace/contracts';

import { countingReducer } from '../counting-reducer.fixture.ts';
import { agentReducer } from './agent-reducer.ts';
import {
  AgentDriver,
  asks,
  createdAt,
  of,
  prices,
  RecordedRun,
  requestOf,
  text,
  toolNamed,
} from './agent-run.fixture.ts';
import { fold, type HeldWorkflow } from './fold.ts';
import type { JournalEntry } from './journal-entry.ts';
import type { Reducers } from './reducers.ts';
import { forkedRun, replay } from './replay.ts';
import type { WorkflowEvent } from './workflow.ts';

const head = workflowRequestedSchema.parse({
  tenant: 'default',
  job_id: 'job-1',
  type: 'agent',
  reply: { kind: 'job', created_at: '2026-11-24T10:00:00.000Z' },
});
const requested: WorkflowEvent = { eventId: 'requested', type: 'requested', data: head };
const fired = (n: number): WorkflowEvent => ({
  eventId: `timer:t:${n}`,
  type: 'timer_fired',
  name: 't',
});

const first = countingReducer();
const second = countingReducer({ schemaVersion: 2, migrates: true });

/** What a release with these reducers makes of a run: its journal, and its state. */
function run(
  events: readonly WorkflowEvent[],
  reducers: Reducers,
  before: { readonly entries: readonly JournalEntry[]; readonly held: HeldWorkflow | null } = {
    entries: [],
    held: null,
  },
) {
  const told = events.map((event) => ({ event, stored: event, head, unparks: false }));
  const { held } = before;
  const folded = fold({ held, known: new Set(), events: told, nowMs: 1_000, reducers });
  const entries = folded.outcomes.map((outcome) => {
    if (outcome.kind !== 'applied') throw new TypeError(outcome.kind);
    return outcome.entry;
  });
  return { entries: [...before.entries, ...entries], held: folded.next };
}

describe('a replay', () => {
  const old = run([requested, fired(1)], [first]);
  const moved = run([fired(2)], [second], old);

  it('decides by the version that decided then, also when there is a newer one', () => {
    const { entries, held } = old;
    expect(replay({ head, entries, reducers: [second, first] })).toEqual(held);
    expect(forkedRun({ head, entries, reducers: [second, first] }, 2)).toMatchObject({
      state: { count: 2 },
      schemaVersion: 1,
    });
  });

  it('takes entries that do not say it for those of the first version', () => {
    const entries = old.entries.map(({ schemaVersion: _, ...entry }) => entry);
    expect(replay({ head, entries, reducers: [second, first] })).toEqual(old.held);
  });

  it('migrates a run where it was migrated', () => {
    const { entries, held } = moved;
    expect(held).toMatchObject({ schemaVersion: 2, state: { count: 103 } });
    expect(replay({ head, entries, reducers: [first, second] })).toEqual(held);
  });

  it('is none when a version is not here any more', () => {
    expect(replay({ head, entries: moved.entries, reducers: [second] })).toBeNull();
  });
});

describe('a fork of a run that was cancelled while its tools were under way', () => {
  const look = toolNamed('look');
  const source = new RecordedRun();
  source.request({ params: { tools: ['look'] } });
  source.describe([look]);
  source.answer(1, asks(['look', { q: 'a' }]));
  source.toolResult(1, { output: 'seen' });
  source.answer(2, asks(['look', { q: 'b' }], ['look', { q: 'c' }]));
  source.toolResult(2, { output: 'seen, too' });
  source.happen({ type: 'cancel_requested' });
  const ended = source.workflow.version;

  it.each([ended - 2, ended - 1, ended])('goes on from step %i, its answer given anew', (step) => {
    const reducers = [agentReducer(prices)];
    const recording = { head: requestOf({}), entries: source.entries, reducers };
    const forked = forkedRun(recording, step)!;
    const fork = new AgentDriver('job-2');
    const from = { workflow_id: 'job-1', created_at: createdAt, from_step: step };
    const request = { fork: { ...from, allow_side_effects: false } };
    const commands = fork.request({ params: { tools: ['look'] }, request }, forked);
    const messages = of('call_claude', commands)[0]?.params?.['messages'];
    // No `tool_use` is without its result: the API would refuse the conversation.
    expect(messages).toEqual([
      { role: 'user', content: 'Find out.' },
      { role: 'assistant', content: asks(['look', { q: 'a' }]).content },
      { role: 'user', content: [expect.objectContaining({ tool_use_id: 'u1' })] },
    ]);
    fork.answer(1, text('42'));
    expect(fork.end()).toMatchObject({ status: 'succeeded', result: '42' });
  });
});
