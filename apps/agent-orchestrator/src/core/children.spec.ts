import { describe, expect, it } from '@jest/globals';
import { agentParamsSchema, untrustedData, workflowRequestedSchema } from '@millrace/contracts';

import { AgentDriver, asks, of, sent, text } from './agent-run.fixture.ts';
import type { Asked } from './agent-run.fixture.ts';

const helper = { name: 'helper', description: 'helps', system: 'Help.', tools: ['look'] };

function parent(asked: Asked = {}, agents: readonly object[] = [helper]) {
  const run = new AgentDriver();
  const params = { agents, ...asked.params };
  run.request({ ...asked, params });
  return run;
}

function ended(run: AgentDriver, n: number, fields: object = {}) {
  const data = {
    child_id: `${run.id}/c${n}`,
    call_id: `${run.id}/t${n}`,
    status: 'succeeded',
    result: 'found it',
    spent: { usd: 0.001, tokens: 100, iterations: 2, tool_calls: 3 },
    tainted: false,
    ...fields,
  };
  return run.happen({ type: 'child_finished', data: JSON.parse(JSON.stringify(data)) });
}

const ask = asks(['helper', { prompt: 'Find it.' }]);

describe('a sub-agent', () => {
  it('is started as a workflow of its own, with a part of what is left', () => {
    const run = parent({ budget: { iterations: 11, usd: 1 }, request: { lane: 'bulk' } });
    const [start] = of('start_child', run.answer(1, ask));
    const request = workflowRequestedSchema.parse(start?.request);
    expect(request).toMatchObject({
      job_id: 'job-1/c1',
      type: 'agent',
      depth: 1,
      lane: 'bulk',
      tainted: false,
      budget: { iterations: 5, tool_calls: 249, on_reached: 'fail' },
      reply: { kind: 'child', workflow_id: 'job-1', call_id: 'job-1/t1', job_id: 'job-1' },
    });
    expect(agentParamsSchema.parse(request.params)).toEqual({
      model: 'claude-sonnet-5-5',
      max_tokens: 1_000,
      system: 'Help.',
      tools: ['look'],
      messages: [{ role: 'user', content: 'Find it.' }],
    });
    expect(request.budget?.usd).toBeCloseTo(0.49995, 5);
  });

  it('gives its result as a tool does, and back what it has not spent', () => {
    const run = parent({ budget: { iterations: 11 } });
    run.answer(1, ask);
    expect(sent(ended(run, 1))).toMatchObject([{ content: [{ content: 'found it' }] }]);
    const { spent } = run.reducer.view(run.workflow.state);
    expect(spent).toMatchObject({ iterations: 3, tool_calls: 4, tokens: 150 });
    ended(run, 1);
    expect(run.last).toEqual({ kind: 'ignored', why: 'no such sub-agent is under way' });
  });

  it('has its tokens counted with those of its parent', () => {
    const run = parent();
    run.answer(1, ask);
    ended(run, 1, { usage: { input_tokens: 70, output_tokens: 30, cache_read_input_tokens: 9 } });
    run.answer(2, text('done'));
    expect(run.end()?.usage).toEqual({
      input_tokens: 150,
      output_tokens: 50,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 9,
    });
  });

  it('taints the one that reads its result when it is tainted', () => {
    const run = parent();
    run.answer(1, ask);
    const commands = ended(run, 1, { tainted: true });
    expect(sent(commands)).toMatchObject([{ content: [{ content: untrustedData('found it') }] }]);
    expect(run.reducer.view(run.workflow.state).tainted).toBe(true);
  });

  it.each([
    ['failed', { code: 'budget_exceeded', detail: 'no more' }, /^budget_exceeded: .*failed: no more/],
    ['expired', { code: 'deadline_exceeded', detail: 'late' }, /^deadline_exceeded: /],
    ['cancelled', undefined, /^cancelled: /],
  ])('that ended as %s is an error to the model', (status, error, content) => {
    const run = parent();
    run.answer(1, ask);
    const commands = ended(run, 1, { status, error, result: undefined });
    expect(sent(commands)).toMatchObject([
      { content: [{ is_error: true, content: expect.stringMatching(content) }] },
    ]);
  });

  it('runs beside others, who share alike', () => {
    const run = parent({ budget: { iterations: 13 } });
    const three = asks(...[1, 2, 3].map((n) => ['helper', { prompt: `${n}` }] as const));
    const starts = of('start_child', run.answer(1, three));
    expect(starts.map(({ request }) => request.budget?.iterations)).toEqual([3, 3, 3]);
    expect(run.workflow.status).toBe('running');
    ended(run, 2);
    ended(run, 1);
    expect(of('call_claude', ended(run, 3))).toHaveLength(1);
  });

  it('has a budget of its own, within what is left', () => {
    const run = parent({}, [{ ...helper, budget: { iterations: 999, tokens: 7, seconds: 60 } }]);
    const [start] = of('start_child', run.answer(1, ask));
    expect(start?.request.budget).toMatchObject({ iterations: 49, tokens: 7, seconds: 60 });
  });

  it('keeps its part when its parent may spend more, and the next one has a part of that', () => {
    const run = parent({ budget: { iterations: 11 } });
    const [first] = of('start_child', run.answer(1, ask));
    const data = { raise_id: 'r1', budget: { iterations: 101 } };
    const raised = run.happen(JSON.parse(JSON.stringify({ type: 'budget_raised', data })));
    // Nothing is told to who works.
    expect([first?.request.budget?.iterations, raised]).toEqual([5, []]);
    const spent = { usd: 0.001, tokens: 100, iterations: 5, tool_calls: 0 };
    const error = { code: 'budget_exceeded', detail: 'no more' };
    ended(run, 1, { status: 'failed', result: undefined, error, spent });
    const [second] = of('start_child', run.answer(2, ask));
    expect(second?.request.budget?.iterations).toBe(47);
  });

  it('is called back with its parent', () => {
    const run = parent();
    run.answer(1, ask);
    const commands = run.happen({ type: 'cancel_requested' });
    expect(of('cancel_child', commands)).toEqual([{ kind: 'cancel_child', childId: 'job-1/c1' }]);
  });

  it('is not started deeper than three', () => {
    const run = parent({ request: { depth: 3 } });
    const commands = run.answer(1, ask);
    expect(of('start_child', commands)).toEqual([]);
    expect(sent(commands)).toMatchObject([
      { content: [{ is_error: true, content: expect.stringMatching(/^limit_reached: /) }] },
    ]);
  });

  it('does not have its text told', () => {
    const run = parent({ request: { depth: 1 } }, []);
    expect(of('call_claude', run.commands)).toMatchObject([{ seq: 1, turn: null }]);
  });

  it('needs a prompt', () => {
    const commands = parent().answer(1, asks(['helper', { prompt: '' }]));
    expect(sent(commands)).toMatchObject([{ content: [{ is_error: true }] }]);
  });
});
