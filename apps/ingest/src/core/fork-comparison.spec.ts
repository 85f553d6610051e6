import { describe, expect, it } from '@jest/globals';
import { jobViewSchema, workflowAnswerSchema, type WorkflowAnswer } from '@millrace/contracts';

import { compareFork } from './fork-comparison.ts';

const at = (second: number) => new Date(Date.UTC(2026, 10, 24, 10, 0, second)).toISOString();

function job(id: string, more: object = {}) {
  const fields = { type: 'agent', status: 'succeeded', lane: 'standard', created_at: at(0) };
  return jobViewSchema.parse({ id, ...fields, trace_id: 't', ...more });
}

const call = (step: number, more: object = {}) => ({
  step,
  workflow_id: 'a',
  kind: 'model_call',
  id: `a/m${step}`,
  at: at(step),
  cost_usd: 0.5,
  ...more,
});

function workflow(steps: object[], truncated = false): WorkflowAnswer {
  const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };
  const view = { approvals: [], spent, signals: [], tainted: false };
  const answer = { kind: 'agent', status: 'succeeded', version: 9, view, steps, truncated };
  return workflowAnswerSchema.parse({ ...answer, approval_workflows: {} });
}

describe('a fork and its source', () => {
  const tool = { kind: 'tool_call', name: 'look', input: { q: 1 }, cost_usd: undefined };
  const source = {
    job: job('a', { model: 'm', result: 'old' }),
    workflow: workflow([
      call(2),
      // A sub-agent's steps count for themselves: the time says which are after the fork.
      call(7, { workflow_id: 'a/c1', id: 'a/c1/m1', at: at(3) }),
      call(4, { ...tool, id: 'a/t1' }),
      // What that one spent in all: its call is there already.
      call(4, { kind: 'child', id: 'a/c1' }),
      call(5),
      call(1, { workflow_id: 'a/c2', id: 'a/c2/m1', at: at(6) }),
    ]),
  };

  it('are compared from the step on at which they part', () => {
    const own = { workflow_id: 'b' };
    const fork = {
      job: job('b', { model: 'n', result: 'new', fork_of: 'a' }),
      workflow: workflow([call(2, { ...own, id: 'b/m1', cost_usd: 2 })]),
    };
    expect(compareFork({ source, fork }, 2)).toEqual({
      from_step: 2,
      source: {
        job_id: 'a',
        status: 'succeeded',
        model: 'm',
        result: 'old',
        usd: 1,
        turns: 2,
        tool_calls: [{ id: 'a/t1', tool: 'look', input: { q: 1 }, is_error: undefined }],
      },
      fork: {
        job_id: 'b',
        status: 'succeeded',
        model: 'n',
        result: 'new',
        usd: 2,
        turns: 1,
        tool_calls: [],
      },
      difference: { usd: 1, turns: -1, tool_calls: -1 },
      same_answer: false,
      truncated: false,
    });
  });

  it('are compared with the turn that the fork asks anew, when its tools had not answered', () => {
    const over = (step: number, more: object) => call(step, { ended_at: at(step), ...more });
    const run = {
      job: job('a'),
      workflow: workflow([
        over(2, { at: at(1) }),
        over(3, { ...tool, id: 'a/t1', at: at(2) }),
        over(4, { ...tool, id: 'a/t2', at: at(2) }),
        over(5, { at: at(4) }),
      ]),
    };
    const fork = { job: job('b', { fork_of: 'a' }), workflow: null };
    const turnsFrom = (step: number) => {
      const { turns, tool_calls } = compareFork({ source: run, fork }, step).source;
      return [turns, tool_calls.length];
    };
    expect([1, 2, 3, 4].map(turnsFrom)).toEqual([
      [2, 2],
      [2, 2],
      [2, 2],
      [1, 0],
    ]);
  });

  it('have no answers to compare until both have ended', () => {
    const fork = { job: job('b', { status: 'running' }), workflow: null };
    const compared = compareFork({ source, fork }, 0);
    expect(compared.same_answer).toBeUndefined();
    expect(compared.difference).toEqual({ usd: -2, turns: -4, tool_calls: -1 });
  });
});
