import { describe, expect, it } from '@jest/globals';
import { untrustedData } from '@millrace/contracts';

import { AgentDriver, asks, of, sent, toolNamed } from './agent-run.fixture.ts';
import { recordedKey, withoutThinking, withText } from './forks.ts';

const tools = [toolNamed('look'), toolNamed('pay', { effect: 'write' })];
const names = tools.map(({ name }) => name);

/** A run that has asked for its tools, looked and paid. */
function source() {
  const run = new AgentDriver();
  run.request({ params: { tools: names } });
  run.describe(tools);
  run.answer(1, asks(['look', {}]));
  run.toolResult(1, { output: 'a bill' });
  return run.workflow.state;
}

const messages = [
  { role: 'user', content: 'Find out.' },
  {
    role: 'assistant',
    content: [{ type: 'thinking', thinking: 'hm' }, ...asks(['look', {}]).content],
  },
  { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'u1', content: 'a bill' }] },
];

interface ForkOptions {
  readonly allow?: boolean;
  readonly params?: object;
  readonly state?: unknown;
  readonly prompt?: string;
}

function fork(o: ForkOptions = {}) {
  const run = new AgentDriver('job-2');
  const forked = {
    state: JSON.parse(JSON.stringify(o.state ?? source())),
    schemaVersion: 1,
    messages,
    recorded: {
      [recordedKey('pay', { q: '5' })]: { output: 'paid 5' },
      [recordedKey('pay', { q: '6' })]: { error: { code: 'tool_failed', detail: 'broke' } },
    },
  };
  const from = { workflow_id: 'job-1', created_at: '2026-11-24T11:59:59.000Z', from_step: 4 };
  const said = o.prompt === undefined ? {} : { prompt: o.prompt };
  const request = { fork: { ...from, ...said, allow_side_effects: o.allow ?? false } };
  const params = { tools: names, model: 'claude-opus-5-5', ...o.params };
  run.request({ params, request }, forked);
  return run;
}

describe('a fork', () => {
  it('begins with the conversation, tools and taint of its source, and a model of its own', () => {
    const run = fork();
    const [call] = of('call_claude', run.commands);
    expect(call).toMatchObject({ callId: 'job-2/m1', params: { model: 'claude-opus-5-5' } });
    expect(call?.params?.['messages']).toEqual(withoutThinking(messages));
    expect(JSON.stringify(call)).not.toContain('thinking');
    expect(run.reducer.view(run.workflow.state)).toMatchObject({
      tainted: true,
      spent: { iterations: 0, tool_calls: 0 },
    });
  });

  it('says a text of its own behind the results of tools that its source was given', () => {
    const [call] = of('call_claude', fork({ prompt: 'Now be brief.' }).commands);
    expect(call?.params?.['messages']).toEqual([
      ...withoutThinking(messages).slice(0, 2),
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'u1', content: 'a bill' },
          { type: 'text', text: 'Now be brief.' },
        ],
      },
    ]);
  });

  it('with other tools asks what they are', () => {
    const run = fork({ params: { tools: ['look'] } });
    expect(of('describe_tools', run.commands)).toMatchObject([{ tools: ['look'] }]);
    expect(of('call_claude', run.describe([tools[0]!]))).toHaveLength(1);
  });

  it('answers calls that change something from what its source recorded, or refuses them', () => {
    const run = fork();
    const commands = run.answer(1, asks(['pay', { q: '5' }], ['pay', { q: '6' }], ['pay', {}]));
    expect(of('run_tool', commands)).toEqual([]);
    expect(sent(commands)).toMatchObject([
      {
        content: [
          { content: untrustedData('paid 5') },
          { is_error: true, content: `tool_failed: ${untrustedData('broke')}` },
          { is_error: true, content: expect.stringMatching(/^side_effect_refused: /) },
        ],
      },
    ]);
  });

  it('whose source is not kept any longer fails', () => {
    const run = new AgentDriver('job-2');
    const from = { workflow_id: 'job-1', created_at: '2026-11-24T11:59:59.000Z', from_step: 4 };
    run.request({ request: { fork: { ...from, allow_side_effects: false } } });
    expect(run.end()?.error).toEqual({ code: 'gone', detail: 'the run to be forked is not kept' });
  });

  it('really looks', () => {
    const run = fork();
    expect(of('run_tool', run.answer(1, asks(['look', {}])))).toHaveLength(1);
  });

  it('really changes something when that is allowed, and a person agrees', () => {
    const run = fork({ allow: true });
    run.answer(1, asks(['pay', { q: '5' }]));
    expect(run.workflow.status).toBe('awaiting_approval');
  });

  it('starts no sub-agent that has tools', () => {
    const agents = [
      { name: 'doer', description: 'x', tools: ['pay'] },
      { name: 'thinker', description: 'x' },
    ];
    const run = fork({ params: { agents } });
    const commands = run.answer(1, asks(['doer', { prompt: 'a' }], ['thinker', { prompt: 'b' }]));
    expect(of('start_child', commands)).toMatchObject([{ request: { job_id: 'job-2/c1' } }]);
    expect(run.workflow.status).toBe('running');
  });

  it('of a state that cannot be read counts as tainted', () => {
    const run = fork({ state: { stage: 'unheard of' }, params: { tools: [] } });
    expect(run.reducer.view(run.workflow.state).tainted).toBe(true);
  });
});

describe('a text that a fork says', () => {
  const more = { type: 'text', text: 'More.' };
  const text = (words: string) => ({ type: 'text', text: words });

  it.each([
    [
      'a message of text',
      [{ role: 'user', content: 'Hi' }],
      [{ role: 'user', content: [text('Hi'), more] }],
    ],
    [
      'a turn that was paused',
      [
        { role: 'user', content: [text('Hi')] },
        { role: 'assistant', content: [{ type: 'server_tool_use', id: 's1' }] },
      ],
      [{ role: 'user', content: [text('Hi'), more] }],
    ],
    ['nothing', [], [{ role: 'user', content: [more] }]],
  ])('stands behind %s', (_, said, whole) => {
    expect(withText(said, 'More.')).toEqual(whole);
  });
});

describe('a recorded result', () => {
  it('is found by tool and arguments, whatever the order of their keys', () => {
    expect(recordedKey('pay', { a: 1, b: { c: 2, d: 3 } })).toBe(
      recordedKey('pay', { b: { d: 3, c: 2 }, a: 1 }),
    );
    expect(recordedKey('pay', { a: 1 })).not.toBe(recordedKey('pay', { a: '1' }));
  });
});
