import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Webhook } from 'standardwebhooks';

import { RunningToolRunner, tenantSecret } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(60_000);

let runner: RunningToolRunner;
let server: ToolServer;

beforeAll(async () => {
  [runner, server] = await Promise.all([RunningToolRunner.start(), ToolServer.listen()]);
});
afterAll(async () => {
  await runner?.stop();
  await server?.close();
});

describe('a call of an HTTP tool', () => {
  it('is one signed POST, however often it is asked for, and is told word for word', async () => {
    await runner.register('echo', server.url('/echo'), {
      target: { kind: 'http', url: server.url('/echo'), headers: { 'X-Key': 'of the tool' } },
    });
    const completed = await runner.call('twice/t1', { tool: 'echo', arguments: { a: 1 } });
    expect(completed).toMatchObject({
      workflow_id: 'twice',
      call_id: 'twice/t1',
      token: expect.stringContaining('token-of-twice/t1'),
      output: { echoed: { a: 1 } },
      attempts: 1,
    });
    await runner.publish([runner.runRequest('twice/t1', { tool: 'echo' })]);
    const [first, again] = await runner.records('twice/t1', 2);
    expect(again!.value).toEqual(first!.value);
    expect(first!.key?.toString()).toBe('twice');
    expect(server.at('/echo')).toHaveLength(1);
    const [call] = server.at('/echo');
    expect(call!.body).toEqual({
      tool: 'echo',
      arguments: { a: 1 },
      call_id: 'twice/t1',
      job_id: 'twice',
      attempt: 1,
    });
    expect(call!.headers).toMatchObject({
      'x-key': 'of the tool',
      'webhook-attempt': '1',
      traceparent: expect.stringContaining('a1a1a1'),
      'idempotency-key': expect.stringMatching(/^call_/),
    });
    const { 'webhook-id': id, 'webhook-signature': signature } = call!.headers;
    const headers = {
      'webhook-id': String(id),
      'webhook-timestamp': String(call!.headers['webhook-timestamp']),
      'webhook-signature': String(signature),
    };
    expect(() => new Webhook(tenantSecret).verify(call!.raw, headers)).not.toThrow();
  });

  it('is tried again after a 500, under the same key', async () => {
    server.answers('/flaky', (response, _, count) => {
      response.statusCode = count === 1 ? 500 : 200;
      response.end('it is done');
    });
    await runner.register('flaky', server.url('/flaky'));
    const completed = await runner.call('flaky/t1', { tool: 'flaky' });
    expect(completed).toMatchObject({ output: 'it is done', attempts: 2 });
    const keys = server.at('/flaky').map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    expect(server.at('/flaky').map(({ body }) => body.attempt)).toEqual([1, 2]);
  });
});

describe('what tools are', () => {
  it('is told at once, with what is missing', async () => {
    await runner.register('known', server.url('/known'), { effect: 'read' });
    await runner.register('served', '', { target: { kind: 'worker' } });
    const described = await runner.described('what/t1', ['known', 'served', 'nobody']);
    expect(described.tools).toMatchObject([
      { name: 'known', version: 1, effect: 'read', approval: 'auto', via: 'runner' },
      { name: 'served', version: 1, effect: 'write', via: 'worker' },
    ]);
    expect(described.missing).toEqual([{ name: 'nobody', detail: expect.any(String) }]);
  });
});
