import { describe, expect, it } from '@jest/globals';
import { untrustedData, type ToolDescribed } from '@millrace/contracts';

import { AgentDriver, asks, of, sent, text, toolNamed } from './agent-run.fixture.ts';

const search = toolNamed('search');

function begun(params: Readonly<Record<string, unknown>> = {}, tools = [search]) {
  const run = new AgentDriver();
  run.request({ params: { tools: tools.map(({ name }) => name), ...params } });
  run.describe(tools);
  return run;
}

describe('an agent without tools', () => {
  it('asks the model once and ends with its text', () => {
    const run = new AgentDriver();
    const [deadline, call] = run.request({ params: { system: 'Be brief.', top_k: 3 } });
    expect(deadline).toMatchObject({ kind: 'set_timer', name: 'deadline' });
    expect(call).toEqual({
      kind: 'call_claude',
      callId: 'job-1/m1',
      seq: 1,
      turn: 1,
      params: {
        model: 'claude-sonnet-5-5',
        max_tokens: 1_000,
        system: 'Be brief.',
        top_k: 3,
        messages: [{ role: 'user', content: 'Find out.' }],
      },
    });
    run.answer(1, text('42'));
    expect(run.workflow.status).toBe('succeeded');
    expect(run.end()).toMatchObject({
      status: 'succeeded',
      result: '42',
      spent: { usd: 0.0001, tokens: 50, iterations: 1, tool_calls: 0 },
      tainted: false,
    });
  });

  it('ignores a second request, a late answer and a cancel after the end', () => {
    const run = new AgentDriver();
    run.request();
    run.request();
    expect(run.last).toEqual({ kind: 'ignored', why: 'the run has begun already' });
    run.answer(1, text('42'));
    run.answer(1, text('43'));
    expect(run.last?.kind).toBe('ignored');
    run.happen({ type: 'cancel_requested' });
    expect(run.last).toEqual({ kind: 'ignored', why: 'the run has ended' });
  });
});

describe('an agent with tools', () => {
  it('asks first what its tools are, and takes them as they are then', () => {
    const run = new AgentDriver();
    const commands = run.request({ params: { tools: ['search'] } });
    expect(of('describe_tools', commands)).toEqual([
      { kind: 'describe_tools', callId: 'job-1/t0', tools: ['search'] },
    ]);
    expect(of('call_claude', commands)).toEqual([]);
    const [call] = of('call_claude', run.describe([search]));
    expect(call?.params?.['tools']).toEqual([
      { name: 'search', description: 'the tool search', input_schema: search.input_schema },
    ]);
  });

  it('fails when one of them is missing, and says which', () => {
    const run = new AgentDriver();
    run.request({ params: { tools: ['search', 'serch'] } });
    run.describe([search], [{ name: 'serch', detail: 'no such tool' }]);
    expect(run.end()?.error).toEqual({
      code: 'unknown_tool',
      detail: 'there is no tool serch (no such tool)',
    });
  });

  it('fails otherwise when the server of one cannot be asked: the tool may be there', () => {
    const away = { name: 'files', detail: 'not reached', code: 'tool_failed' } as const;
    const failsWith = (missing: ToolDescribed['missing']) => {
      const run = new AgentDriver();
      run.request({ params: { tools: ['search', 'files', 'serch'] } });
      run.describe([search], missing);
      return run.end()?.error;
    };
    expect(failsWith([away])).toEqual({
      code: 'tool_failed',
      detail: 'an MCP server cannot be asked: files (not reached)',
    });
    const absent = { name: 'serch', detail: 'no such tool' };
    expect(failsWith([away, absent])?.code).toBe('unknown_tool');
  });

  it('runs what one answer asks for at once and joins the results in the order asked', () => {
    const run = begun();
    const tools = of('run_tool', run.answer(1, asks(['search', { q: 'a' }], ['search', {}])));
    expect(tools.map(({ callId }) => callId)).toEqual(['job-1/t1', 'job-1/t2']);
    expect(sent(run.toolResult(2, { output: { b: 1 } }))).toBeUndefined();
    const next = run.toolResult(1, { output: 'first' });
    expect(of('call_claude', next)).toMatchObject([{ callId: 'job-1/m2', seq: 2, turn: 2 }]);
    expect(sent(next)).toEqual([
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'u1', content: untrustedData('first') },
          { type: 'tool_result', tool_use_id: 'u2', content: untrustedData('{"b":1}') },
        ],
      },
    ]);
    run.answer(2, text('done'));
    expect(run.end()).toMatchObject({ result: 'done', spent: { iterations: 2, tool_calls: 2 } });
  });
});

describe('a result of a tool that comes late', () => {
  it('is ignored after the end', () => {
    const run = begun();
    run.answer(1, asks(['search', {}]));
    run.happen({ type: 'cancel_requested' });
    expect(run.toolResult(1, { output: 'late' })).toEqual([]);
    expect(run.last).toEqual({ kind: 'ignored', why: 'the run has ended' });
  });

  it('is ignored when the tool was given up, and the model told so', () => {
    const run = begun();
    run.answer(1, asks(['search', {}]));
    expect(of('call_claude', run.timer('tool:job-1/t1', 86_400_000))).toHaveLength(1);
    expect(run.toolResult(1, { output: 'late' })).toEqual([]);
    expect(run.last).toEqual({ kind: 'ignored', why: 'no such tool call is under way' });
  });
});

describe('what an agent waits for', () => {
  const outstanding = ({ reducer, workflow }: AgentDriver) => reducer.outstanding(workflow.state);

  it('is the model, by the version that asked', () => {
    const run = begun();
    expect(outstanding(run)).toEqual([{ id: 'job-1/m1', version: 2 }]);
    run.answer(1, asks(['search', {}]));
    // Its timer asks again, or gives it up.
    expect(outstanding(run)).toEqual([]);
    run.toolResult(1, { output: 'x' });
    expect(outstanding(run)).toEqual([{ id: 'job-1/m2', version: 4 }]);
    run.answer(2, text('done'));
    expect(outstanding(run)).toEqual([]);
  });

  it('is each sub-agent under way', () => {
    const run = begun({ agents: [{ name: 'helper', description: 'helps' }] });
    run.answer(1, asks(['helper', { prompt: 'a' }], ['helper', { prompt: 'b' }]));
    expect(outstanding(run)).toEqual([
      { id: 'job-1/c1', version: 3 },
      { id: 'job-1/c2', version: 3 },
    ]);
  });
});

describe('a cancel', () => {
  it('before the start ends the run, and the request that comes then is ignored', () => {
    const run = new AgentDriver();
    run.happen({ type: 'cancel_requested' });
    expect(run.end()).toMatchObject({ status: 'cancelled', spent: { iterations: 0 } });
    run.request();
    expect(run.last).toEqual({ kind: 'ignored', why: 'the run has ended' });
  });

  it('calls back the model call that is under way', () => {
    const run = new AgentDriver();
    run.request();
    const commands = run.happen({ type: 'cancel_requested' });
    expect(commands).toMatchObject([
      { kind: 'clear_timer', name: 'deadline' },
      { kind: 'cancel_call', callId: 'job-1/m1', seq: 1 },
      { kind: 'finish', end: { status: 'cancelled', error: { code: 'cancelled' } } },
    ]);
    run.answer(1, text('too late'));
    expect(run.last?.kind).toBe('ignored');
  });

  it('calls back the tools that are under way', () => {
    const run = begun();
    run.answer(1, asks(['search', {}], ['search', {}]));
    run.toolResult(1, { output: 'x' });
    const commands = run.happen({ type: 'cancel_requested' });
    expect(of('cancel_tool', commands)).toEqual([
      { kind: 'cancel_tool', callId: 'job-1/t2', via: 'runner' },
    ]);
  });
});
