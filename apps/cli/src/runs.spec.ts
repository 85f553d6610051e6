import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

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

let answer: { status: number; body?: unknown };
let asked: { method: string | undefined; url: string | undefined; body: unknown };
let server: Server;

beforeAll(async () => {
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const text = Buffer.concat(parts).toString();
      const { method, url } = request;
      asked = { method, url, body: text === '' ? undefined : JSON.parse(text) };
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      response.end(answer.body === undefined ? '' : JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.close();
});

async function typed(...words: string[]) {
  const said = { out: '', error: '' };
  const { port } = server.address() as AddressInfo;
  const status = await runCommandLine(words, {
    commands,
    readConfig: () => ({ url: `http://127.0.0.1:${port}`, keyOf: (holder) => `mr_${holder}` }),
    terminal: {
      out: (text) => void (said.out += `${text}\n`),
      error: (text) => void (said.error += `${text}\n`),
    },
  });
  return { status, ...said };
}

describe('commands for runs', () => {
  it('show what waits for a person', async () => {
    answer = { status: 200, body: { data: [approval] } };
    const { out } = await typed('approvals', 'list', 'order-1');
    expect(out).toContain(approval.id);
    expect(out).toContain('{"usd":5}');
    expect(asked.url).toBe('/v1/jobs/order-1/approvals');
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
    answer = { status: 202, body: job };
    const { out, status } = await typed(...words);
    expect([status, out]).toEqual([0, expect.stringContaining('order-1')]);
    expect(asked).toEqual({ method: 'POST', url: `/v1/jobs/order-1/${path}`, body });
  });

  it('show a session with its newest jobs', async () => {
    answer = { status: 200, body: { id: 'chat-1', turns: 7, jobs: [job] } };
    const { out } = await typed('sessions', 'get', 'chat-1');
    expect(out).toMatch(/turns +7/);
    expect(out).toContain('order-1');
    expect(asked.url).toBe('/v1/sessions/chat-1');
  });

  it('compare a fork with its source', async () => {
    answer = { status: 200, body: comparison };
    const { out } = await typed('fork', 'compare', 'b');
    expect(out).toContain('after step 2');
    expect(out).toContain('b: no');
    expect(asked.url).toBe('/v1/jobs/b/fork');
  });

  it.each([
    [['signal', 'order-1', 'paid', '--data', 'no json']],
    [['budget', 'order-1', '--usd', '-1']],
    [['tools', 'put', 'look']],
    [['tools', 'put', 'look', '--file', '/nowhere/at/all']],
  ])('ask nothing when they are typed wrongly: %j', async (words) => {
    asked = { method: undefined, url: undefined, body: undefined };
    expect((await typed(...words)).status).toBe(2);
    expect(asked.method).toBeUndefined();
  });
});

describe('commands for tools', () => {
  it('show, list and register them', async () => {
    answer = { status: 200, body: tool };
    expect((await typed('tools', 'get', 'look')).out).toContain('http https://example.com/look');
    expect((await typed('tools', 'put', 'look', '--data', '{"effect":"read"}')).status).toBe(0);
    expect(asked).toEqual({ method: 'PUT', url: '/v1/tools/look', body: { effect: 'read' } });
    answer = { status: 200, body: { data: [tool], next_cursor: 'abc' } };
    const { out } = await typed('tools', 'list');
    expect(out).toMatch(/^NAME +VERSION/);
    expect(out).toContain('More: millrace tools list --cursor abc');
  });

  it('take one away, though nothing is answered', async () => {
    answer = { status: 204 };
    expect((await typed('tools', 'delete', 'look')).status).toBe(0);
    expect([asked.method, asked.url]).toEqual(['DELETE', '/v1/tools/look']);
  });
});
