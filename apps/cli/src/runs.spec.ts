import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TypedLine } from './typed-line.fixture.ts';

const job = {
  id: 'order-1',
  type: 'agent',
  status: 'awaiting_approval',
  lane: 'standard',
  created_at: '2030-01-02T03:04:05.678Z',
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
};
const approval = {
  id: `apr_${'a'.repeat(32)}`,
  tool: 'pay',
  tool_version: 1,
  arguments: { usd: 5 },
  hash: 'b'.repeat(64),
  requested_at: '2030-01-02T03:04:05.678Z',
  expires_at: '2030-01-09T03:04:05.678Z',
  status: 'pending',
};
const tool = {
  name: 'look',
  version: 3,
  description: 'Looks.',
  input_schema: { type: 'object' },
  target: { kind: 'http', url: 'https://example.com/look' },
  created_at: '2030-01-02T03:04:05.678Z',
  changed_at: '2030-01-02T03:04:05.678Z',
};
const side = { job_id: 'a', status: 'succeeded', result: 'yes', usd: 1, turns: 2, tool_calls: [] };
const comparison = {
  from_step: 2,
  source: side,
  fork: { ...side, job_id: 'b', result: 'no' },
  difference: { usd: 0, turns: 0, tool_calls: 0 },
  truncated: false,
};

const cli = new TypedLine();
beforeAll(() => cli.open());
afterAll(() => cli.close());

describe('commands for runs', () => {
  it('show what waits for a person', async () => {
    cli.answers({ data: [approval] });
    const { out } = await cli.typed(['approvals', 'list', 'order-1']);
    expect(out).toContain(approval.id);
    expect(out).toContain('{"usd":5}');
    expect(cli.routes).toEqual(['GET /v1/jobs/order-1/approvals']);
  });

  it.each([
    [['approvals', 'approve', 'order-1', 'apr_1'], 'approvals/apr_1', { decision: 'approve' }],
    [
      ['approvals', 'reject', 'order-1', 'apr_1', '--reason', 'too dear'],
      'approvals/apr_1',
      { decision: 'reject', reason: 'too dear' },
    ],
    [
      ['signal', 'order-1', 'paid', '--data', '{"usd":5}', '--id', 'x'],
      'signals/paid',
      { data: { usd: 5 }, signal_id: 'x' },
    ],
    [
      ['budget', 'order-1', '--usd', '2.5', '--tool-calls', '9'],
      'budget',
      { usd: 2.5, tool_calls: 9 },
    ],
    [
      ['fork', 'order-1', '--from-step', '4', '--model', 'm', '--tools', 'a,b'],
      'fork',
      { from_step: 4, model: 'm', tools: ['a', 'b'], allow_side_effects: false },
    ],
  ])('tell them what was typed: %j', async (words, path, body) => {
    cli.answers(job);
    const { out, status } = await cli.typed(words);
    expect([status, out]).toEqual([0, expect.stringContaining('order-1')]);
    expect([cli.routes, cli.bodies]).toEqual([[`POST /v1/jobs/order-1/${path}`], [body]]);
  });

  it('show a session with its newest jobs', async () => {
    cli.answers({ id: 'chat-1', turns: 7, jobs: [job] });
    const { out } = await cli.typed(['sessions', 'get', 'chat-1']);
    expect(out).toMatch(/turns +7/);
    expect(out).toContain('order-1');
    expect(cli.routes).toEqual(['GET /v1/sessions/chat-1']);
  });

  it('compare a fork with its source', async () => {
    cli.answers(comparison);
    const { out } = await cli.typed(['fork', 'compare', 'b']);
    expect(out).toContain('after step 2');
    expect(out).toContain('b: no');
    expect(cli.routes).toEqual(['GET /v1/jobs/b/fork']);
  });

  it.each([
    [['signal', 'order-1', 'paid', '--data', 'no json']],
    [['budget', 'order-1', '--usd', '-1']],
    [['tools', 'put', 'look']],
    [['tools', 'put', 'look', '--file', '/nowhere/at/all']],
  ])('ask nothing when they are typed wrongly: %j', async (words) => {
    cli.answers();
    expect((await cli.typed(words)).status).toBe(2);
    expect(cli.asked).toEqual([]);
  });
});

describe('commands for tools', () => {
  it('show, list and register them', async () => {
    cli.answers(tool);
    expect((await cli.typed(['tools', 'get', 'look'])).out).toContain('http https://example.com/look');
    const text = '{"effect":"read"}';
    expect((await cli.typed(['tools', 'put', 'look', '--data', text])).status).toBe(0);
    expect(cli.asked.at(-1)).toMatchObject({ route: 'PUT /v1/tools/look', body: text });
    cli.answers({ data: [tool], next_cursor: 'abc' });
    const { out } = await cli.typed(['tools', 'list']);
    expect(out).toMatch(/^NAME +VERSION/);
    expect(out).toContain('More: millrace tools list --cursor abc');
  });

  it('take one away, though nothing is answered', async () => {
    cli.answers();
    expect((await cli.typed(['tools', 'delete', 'look'])).status).toBe(0);
    expect(cli.routes).toEqual(['DELETE /v1/tools/look']);
  });
});
