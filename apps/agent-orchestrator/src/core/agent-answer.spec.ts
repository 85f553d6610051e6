import { describe, expect, it } from '@jest/globals';

import { AgentDriver, asks, of, sent, text, toolNamed } from './agent-run.fixture.ts';

const search = toolNamed('search');
const answerSchema = {
  type: 'object',
  properties: { n: { type: 'integer' } },
  required: ['n'],
  additionalProperties: false,
};

function begun(params: Readonly<Record<string, unknown>> = {}) {
  const run = new AgentDriver();
  run.request({ params });
  return run;
}

function searching(params: Readonly<Record<string, unknown>> = {}) {
  const run = new AgentDriver();
  run.request({ params: { tools: ['search'], ...params } });
  run.describe([search]);
  return run;
}

describe('an answer', () => {
  it.each([
    ['end_turn', { status: 'succeeded', result: 'so far' }],
    ['stop_sequence', { status: 'succeeded', result: 'so far' }],
    ['max_tokens', { status: 'failed', error: { code: 'answer_truncated' } }],
    ['refusal', { status: 'failed', error: { code: 'refusal' } }],
    ['model_context_window_exceeded', { status: 'failed', error: { code: 'session_too_long' } }],
    ['tool_use', { status: 'failed', error: { code: 'unknown_stop_reason' } }],
    ['a_new_reason', { status: 'failed', error: { code: 'unknown_stop_reason' } }],
  ])('of text that stops for %s ends the run', (stopReason, end) => {
    const run = begun();
    run.answer(1, text('so far', stopReason));
    expect(run.end()).toMatchObject(end);
    expect(run.end()?.message).toMatchObject({ content: [{ text: 'so far' }] });
    expect(run.workflow.status).toBe(run.end()?.status);
  });

  it('that was declined says in what category', () => {
    const run = begun();
    run.answer(1, { ...text('', 'refusal'), stop_details: { category: 'cyber' } });
    expect(run.end()?.error?.detail).toBe('Claude declined to answer: cyber');
  });

  it.each([[null], ['text'], [{ content: 'no blocks', stop_reason: 'end_turn' }]])(
    'that is none ends the run: %j',
    (message) => {
      const run = begun();
      run.settle(1, { message: JSON.parse(JSON.stringify(message)) });
      expect(run.end()?.error?.code).toBe('unknown_stop_reason');
    },
  );

  it('that was paused goes on without a message, ten times', () => {
    const run = begun();
    for (let pause = 1; pause <= 10; pause += 1) {
      const commands = run.answer(pause, text('wait', 'pause_turn'));
      expect(of('call_claude', commands)).toMatchObject([{ seq: pause + 1 }]);
      expect(sent(commands)).toEqual([]);
    }
    run.answer(11, text('wait', 'pause_turn'));
    expect(run.end()?.error?.code).toBe('retries_exhausted');
  });

  it('whose arguments were cut off is asked for once more, with twice the tokens', () => {
    const run = begun();
    const cut = { ...asks(['search', {}]), stop_reason: 'max_tokens' };
    const commands = run.answer(1, cut, { kept: false });
    expect(of('call_claude', commands)).toMatchObject([
      {
        callId: 'job-1/m2',
        seq: 2,
        params: { max_tokens: 2_000, messages: [{ role: 'user', content: 'Find out.' }] },
      },
    ]);
    run.answer(2, cut, { kept: false });
    expect(run.end()?.error).toEqual({
      code: 'answer_truncated',
      detail: 'the arguments of a tool were cut off at 2000 tokens',
    });
  });

  it('whose arguments were cut off is not asked for again above what models give', () => {
    const run = begun({ max_tokens: 64_000 });
    run.answer(1, { ...asks(['search', {}]), stop_reason: 'max_tokens' }, { kept: false });
    expect(run.end()?.error?.code).toBe('answer_truncated');
  });

  it('whose arguments were cut off is not asked for again with more than a state holds', () => {
    const large = [{ role: 'user', content: 'x'.repeat(600_000) }];
    const run = begun({ messages: large });
    expect(JSON.stringify(run.workflow.state).length).toBeLessThan(10_000);
    run.answer(1, { ...asks(['search', {}]), stop_reason: 'max_tokens' }, { kept: false });
    expect(run.end()?.error?.code).toBe('answer_truncated');
  });

  it('may hold only so many bytes of arguments', () => {
    const run = searching();
    const long = { q: 'x'.repeat(100_000) };
    const commands = run.answer(1, asks(['search', long], ['search', long]));
    expect(of('run_tool', commands)).toHaveLength(1);
    expect(sent(run.toolResult(1, { output: 'x' }))).toMatchObject([
      { content: [{}, { content: expect.stringMatching(/^invalid_arguments: .*131072 bytes/) }] },
    ]);
  });

  it('with an unknown tool or bad arguments goes back without any run', () => {
    const run = searching();
    const commands = run.answer(1, asks(['serch', {}], ['search', { q: 7 }], ['search', 'x']));
    expect(of('run_tool', commands)).toEqual([]);
    expect(sent(commands)).toMatchObject([
      {
        role: 'user',
        content: [
          { tool_use_id: 'u1', is_error: true, content: expect.stringMatching(/^unknown_tool: /) },
          { is_error: true, content: expect.stringMatching(/^invalid_arguments: .*#\/q/) },
          { is_error: true, content: expect.stringMatching(/^invalid_arguments: /) },
        ],
      },
    ]);
  });

  it('that did not enter its conversation cannot be gone on from', () => {
    const run = searching();
    run.answer(1, asks(['search', {}]), { kept: false });
    expect(run.end()?.error?.code).toBe('internal');
    expect(of('run_tool', run.commands)).toEqual([]);
  });

  it.each([
    ['failed', { code: 'rejected_by_claude', detail: 'no' }],
    ['expired', { code: 'deadline_exceeded', detail: 'late' }],
    ['cancelled', { code: 'cancelled', detail: 'by someone' }],
  ] as const)('that never came ends the run as %s', (outcome, error) => {
    const run = begun();
    run.settle(1, { outcome, error, kept: false });
    expect(run.end()).toMatchObject({ status: outcome, error });
  });

  it('of the stand-in is told as such', () => {
    const run = begun();
    run.answer(1, text('42'), { stand_in: true });
    expect(run.end()?.standIn).toBe(true);
  });
});

describe('a final answer', () => {
  it('that fits ends the run, and what was asked for beside it never begins', () => {
    const run = searching({ output_schema: answerSchema });
    const commands = run.answer(1, asks(['search', {}], ['final_answer', { n: 42 }]));
    expect(of('run_tool', commands)).toEqual([]);
    expect(run.end()).toMatchObject({ status: 'succeeded', result: '{"n":42}' });
  });

  it('that does not fit is asked for again, twice', () => {
    const run = begun({ output_schema: answerSchema });
    for (let call = 1; call <= 2; call += 1) {
      const commands = run.answer(call, asks(['final_answer', { n: 'x' }]));
      expect(sent(commands)).toMatchObject([
        { content: [{ is_error: true, content: expect.stringMatching(/^invalid_output: /) }] },
      ]);
    }
    run.answer(3, asks(['final_answer', {}]));
    expect(run.end()?.error?.code).toBe('invalid_output');
  });

  it('that is text is asked for by the tool, twice', () => {
    const run = begun({ output_schema: answerSchema });
    const commands = run.answer(1, text('42'));
    expect(sent(commands)).toEqual([
      { role: 'user', content: 'Give your final answer now by calling the tool final_answer.' },
    ]);
    run.answer(2, text('42'));
    run.answer(3, text('42'));
    expect(run.end()?.error?.code).toBe('invalid_output');
  });
});
