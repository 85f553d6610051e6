import { describe, expect, it } from '@jest/globals';

import { AgentDriver, asks, of, startedAt, text, toolNamed } from './agent-run.fixture.ts';
import type { Asked } from './agent-run.fixture.ts';

function begun(asked: Asked) {
  const run = new AgentDriver();
  run.request(asked);
  return run;
}

describe('the start of an agent', () => {
  it.each<[string, Asked, string, RegExp]>([
    ['no messages', { params: { messages: [] } }, 'invalid_request', /^params\.messages: /],
    ['no model', { params: { model: undefined } }, 'invalid_request', /model/],
    ['no params', { request: { params: undefined } }, 'invalid_request', /^params: /],
    ['a bad tool name', { params: { tools: ['a b'] } }, 'invalid_request', /^params\.tools\.0: /],
    ['a large prompt', { params: { system: 'x'.repeat(300_000) } }, 'payload_too_large', /bytes/],
    [
      'two tools of a name',
      {
        params: {
          agents: [{ name: 'wait_for_signal', description: 'x' }],
          signals: ['go'],
        },
      },
      'invalid_request',
      /wait_for_signal/,
    ],
  ])('with %s fails at once', (_what, asked, code, detail) => {
    const run = begun(asked);
    expect(run.workflow.status).toBe('failed');
    expect(run.end()?.error?.code).toBe(code);
    expect(run.end()?.error?.detail).toMatch(detail);
    expect(of('call_claude', run.commands)).toEqual([]);
  });

  it('with the name of a built-in tool among its tools fails once they are known', () => {
    const run = begun({ params: { tools: ['shop'], output_schema: { type: 'object' } } });
    run.describe([toolNamed('final_answer')]);
    expect(run.end()?.error?.code).toBe('invalid_request');
  });

  it('with a server of too many tools fails once they are known', () => {
    const run = begun({ params: { tools: ['shop'] } });
    run.describe(Array.from({ length: 129 }, (_, n) => toolNamed(`t${n}`)));
    expect(run.end()?.error?.code).toBe('limit_reached');
  });

  it.each([
    ['is tainted by what an MCP server says of its tools', 'shop__pay', true, 'awaiting_approval'],
    ['is not tainted by what its tenant says of a tool', 'pay', false, 'running'],
  ])('%s', (_, name, tainted, status) => {
    const run = begun({ params: { tools: ['shop'] } });
    run.describe([toolNamed(name, { effect: 'write' })]);
    expect(run.reducer.view(run.workflow.state).tainted).toBe(tainted);
    run.answer(1, asks([name, {}]));
    expect(run.workflow.status).toBe(status);
  });

  it('takes its tools once', () => {
    const run = begun({ params: { tools: ['search'] } });
    run.describe([toolNamed('search')]);
    run.describe([toolNamed('other')]);
    expect(run.last).toEqual({ kind: 'ignored', why: 'no tools are asked for' });
  });

  it('asks again what its tools are when nobody says so', () => {
    const run = begun({ params: { tools: ['search'] } });
    const asked = of('describe_tools', run.commands);
    const [timer] = of('set_timer', run.commands).filter(({ name }) => name === 'describe');
    const commands = run.timer('describe', (timer?.at ?? Infinity) - startedAt);
    expect(of('describe_tools', commands)).toEqual(asked);
    expect(of('set_timer', commands)).toMatchObject([{ name: 'describe' }]);
    const told = run.describe([toolNamed('search')]);
    expect(of('clear_timer', told)).toEqual([{ kind: 'clear_timer', name: 'describe' }]);
    run.timer('describe');
    expect(run.last).toEqual({ kind: 'ignored', why: 'no tools are asked for' });
  });

  it('comes before everything but a cancel', () => {
    const run = new AgentDriver();
    run.timer('deadline');
    expect(run.last).toEqual({ kind: 'ignored', why: 'the run has not begun' });
    expect(run.workflow.version).toBe(0);
  });

  it('sets a timer for when the job has to have ended', () => {
    const completeBy = '2026-11-24T12:01:00.000Z';
    const run = begun({ request: { complete_by: completeBy } });
    expect(of('set_timer', run.commands)).toContainEqual({
      kind: 'set_timer',
      name: 'complete_by',
      at: Date.parse(completeBy),
    });
    run.timer('complete_by', 60_000);
    expect(run.end()).toMatchObject({ status: 'expired', error: { code: 'deadline_exceeded' } });
    expect(of('cancel_call', run.commands)).toHaveLength(1);
  });

  it('tells its steps only to those who listen', () => {
    const told = (stream: boolean) => of('tell_step', begun({ request: { stream } }).commands);
    expect(told(true)).toMatchObject([{ step: { kind: 'model_call', turn: 1 } }]);
    expect(told(false)).toEqual([]);
  });
});

describe('a long history', () => {
  it('ends with a code at ten thousand steps', () => {
    const run = begun({ params: { tools: ['search'] }, budget: { iterations: 1_000 } });
    run.describe([toolNamed('search')]);
    run.answer(1, asks(['search', {}]));
    run.workflow = { ...run.workflow, version: 9_999 };
    const { decide } = run.reducer;
    const data = { workflow_id: 'job-1', call_id: 'job-1/t1', token: 't', output: 'x' };
    const event = { eventId: 'e', type: 'tool_completed', data: JSON.parse(JSON.stringify(data)) };
    const decision = decide(run.workflow, JSON.parse(JSON.stringify(event)), startedAt);
    expect(decision).toMatchObject({
      kind: 'changed',
      status: 'failed',
      commands: expect.arrayContaining([
        expect.objectContaining({
          kind: 'finish',
          end: expect.objectContaining({
            error: { code: 'history_too_long', detail: 'the run has 10000 steps' },
          }),
        }),
      ]),
    });
  });
});

describe('an event of a document', () => {
  it('is ignored by an agent', () => {
    const run = begun({});
    run.happen(JSON.parse('{"type":"document_split","data":{}}'));
    expect(run.last).toEqual({ kind: 'ignored', why: 'an agent splits no document' });
    run.answer(1, text('42'));
    expect(run.end()?.status).toBe('succeeded');
  });
});
