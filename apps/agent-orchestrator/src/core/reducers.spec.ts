import { describe, expect, it } from '@jest/globals';

import { AgentDriver, asks, of, prices, text, toolNamed } from './agent-run.fixture.ts';
import { newestReducer, reducerOf, reducersWith, runnable } from './reducers.ts';
import type { Reducers } from './reducers.ts';
import type { Reducer, Workflow } from './workflow.ts';

const [agent] = reducersWith(prices);

/** A version to come, whose state has the state of this one in it. */
const next: Reducer = {
  kind: 'agent',
  schemaVersion: 2,
  decide: (workflow, event, now) => {
    const { inner } = JSON.parse(JSON.stringify(workflow.state));
    const decision = agent!.decide({ ...workflow, state: inner }, event, now);
    if (decision.kind === 'ignored') return decision;
    return { ...decision, state: { inner: decision.state } };
  },
  view: (state) => agent!.view(JSON.parse(JSON.stringify(state)).inner),
  outstanding: (state) => agent!.outstanding(JSON.parse(JSON.stringify(state)).inner),
  migrate: (old) => ({ inner: old }),
};

function running(): Workflow {
  const run = new AgentDriver();
  run.request({ params: { tools: ['search'] } });
  run.describe([toolNamed('search')]);
  run.answer(1, asks(['search', {}]));
  return run.workflow;
}

describe('the reducers', () => {
  it('are found by kind and version, and new runs begin with the newest', () => {
    const reducers: Reducers = [next, agent!];
    expect(reducerOf(reducers, 'agent', 1)).toBe(agent);
    expect(newestReducer(reducers, 'agent')).toBe(next);
    expect(newestReducer(reducers, 'document')).toBeUndefined();
  });

  it('go on with a run by the version that it began with', () => {
    const workflow = running();
    expect(runnable([next, agent!], workflow)).toEqual({ reducer: agent, workflow });
  });

  it('migrate a run whose version this release has no longer', () => {
    const workflow = running();
    const found = runnable([next], workflow)!;
    expect(found.workflow).toMatchObject({ schemaVersion: 2, version: workflow.version });
    const event = JSON.parse(
      JSON.stringify({
        eventId: 'e9',
        type: 'tool_completed',
        data: { workflow_id: 'job-1', call_id: 'job-1/t1', token: 't', output: text('x') },
      }),
    );
    const decision = found.reducer.decide(found.workflow, event, 0);
    if (decision.kind === 'ignored') throw new Error(decision.why);
    expect(of('call_claude', decision.commands)).toMatchObject([{ callId: 'job-1/m2' }]);
    expect(found.reducer.view(decision.state).spent.tool_calls).toBe(1);
  });

  it('know no way to go on with a version of the future, or one that is too old', () => {
    const workflow = running();
    expect(runnable([agent!], { ...workflow, schemaVersion: 2 })).toBeUndefined();
    expect(runnable([{ ...next, schemaVersion: 3 }], workflow)).toBeUndefined();
    expect(runnable([agent!], { ...workflow, kind: 'document' })).toBeUndefined();
  });
});
