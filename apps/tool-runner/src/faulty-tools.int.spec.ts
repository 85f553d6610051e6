import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Resolve } from '@millrace/egress';
import { createPool } from '@millrace/postgres';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(60_000);

let runner: RunningToolRunner;
let server: ToolServer;

/** What names lead to, one time after the other. */
const leadsTo = new Map<string, string[]>();
const resolve: Resolve = (name) => {
  const address = leadsTo.get(name)?.shift();
  return Promise.resolve(address === undefined ? [] : [{ address, family: 4 }]);
};

beforeAll(async () => {
  [runner, server] = await Promise.all([
    RunningToolRunner.start({}, { resolve }),
    ToolServer.listen(),
  ]);
});
afterAll(async () => {
  await runner?.stop();
  await server?.close();
});

describe('a tool that', () => {
  it('hangs is given up after its time, tried again, and told as an error', async () => {
    server.answers('/hang', () => undefined);
    await runner.register('hang', server.url('/hang'), { timeout_seconds: 1, retries: 1 });
    const completed = await runner.call('hang/t1', { tool: 'hang' });
    expect(completed).toMatchObject({ error: { code: 'tool_timeout' }, attempts: 2 });
    expect(server.at('/hang')).toHaveLength(2);
  });

  it('drips its answer is given up after its time, whatever has come', async () => {
    server.answers('/drip', (response) => {
      response.write('a');
      const dripping = setInterval(() => response.write('a'), 50);
      response.on('close', () => clearInterval(dripping));
    });
    await runner.register('drip', server.url('/drip'), { timeout_seconds: 1, retries: 0 });
    const completed = await runner.call('drip/t1', { tool: 'drip' });
    expect(completed).toMatchObject({ error: { code: 'tool_timeout' }, attempts: 1 });
  });

  it('returns 50 MB is cut off at its limit', async () => {
    let sent = 0;
    server.answers('/flood', (response) => {
      const piece = Buffer.alloc(64 * 1024, 'a');
      const pour = (): void => {
        while (sent < 50 * 1024 * 1024 && !response.destroyed) {
          sent += piece.length;
          if (!response.write(piece)) return void response.once('drain', pour);
        }
        response.end();
      };
      pour();
    });
    await runner.register('flood', server.url('/flood'));
    const completed = await runner.call('flood/t1', { tool: 'flood' });
    expect(completed).toMatchObject({ error: { code: 'result_too_large' }, attempts: 1 });
    expect(sent).toBeLessThan(25 * 1024 * 1024);
  });

  it('returns what its event cannot carry is told as too large', async () => {
    server.answers('/escapes', (response) => void response.end('\u0001'.repeat(256 * 1024)));
    const fields = { result_bytes_max: 256 * 1024 };
    await runner.register('escapes', server.url('/escapes'), fields);
    const completed = await runner.call('escapes/t1', { tool: 'escapes' });
    expect(completed).toMatchObject({ error: { code: 'result_too_large' } });
  });

  it.each([
    [1, { output: 'ok', attempts: 1 }],
    [0, { error: { code: 'tool_failed' }, attempts: 1 }],
  ])('closes a kept connection under a call, with %d retries', async (retries, expected) => {
    const name = `closing-${retries}`;
    const kept = new WeakSet();
    let closings = 0;
    server.answers(`/${name}`, (response) => {
      const { socket } = response.req;
      if (!kept.has(socket)) return void response.end('ok', () => kept.add(socket));
      closings += 1;
      socket.destroy();
    });
    await runner.register(name, server.url(`/${name}`), { retries });
    let completed;
    for (let turn = 1; closings === 0; turn += 1) {
      completed = await runner.call(`${name}/t${turn}`, { tool: name });
    }
    expect(completed).toMatchObject(expected);
    // The same once more, for the tool to know it again; and never for one that wants no retry.
    const keys = server.at(`/${name}`).map(({ headers }) => headers['idempotency-key']);
    expect(keys.length - new Set(keys).size).toBe(retries);
  });

  it('redirects is not followed', async () => {
    server.answers('/moved', (response) => {
      response.writeHead(307, { location: server.url('/elsewhere') });
      response.end();
    });
    await runner.register('moved', server.url('/moved'));
    const completed = await runner.call('moved/t1', { tool: 'moved' });
    expect(completed).toMatchObject({ error: { code: 'tool_failed' }, attempts: 1 });
    expect(server.at('/elsewhere')).toEqual([]);
  });

  it('refuses is told once, with what it says', async () => {
    server.answers('/refuse', (response) => {
      response.statusCode = 422;
      response.end('no such customer');
    });
    await runner.register('refuse', server.url('/refuse'));
    const completed = await runner.call('refuse/t1', { tool: 'refuse' });
    expect(completed.error).toEqual({
      code: 'tool_failed',
      detail: 'the tool answered 422: no such customer',
    });
    expect(server.at('/refuse')).toHaveLength(1);
  });

  it('asks for time is given it', async () => {
    server.answers('/busy', (response, _, count) => {
      response.statusCode = count === 1 ? 429 : 200;
      response.setHeader('retry-after', '1');
      response.end(String(Date.now()));
    });
    await runner.register('busy', server.url('/busy'));
    const startedAtMs = Date.now();
    const completed = await runner.call('busy/t1', { tool: 'busy' });
    expect(completed.attempts).toBe(2);
    expect(Number(completed.output) - startedAtMs).toBeGreaterThanOrEqual(1_000);
  });

  it('says JSON and sends none has no result', async () => {
    server.answers('/no-json', (response) => {
      response.setHeader('content-type', 'application/json');
      response.end('{');
    });
    await runner.register('no-json', server.url('/no-json'));
    const completed = await runner.call('no-json/t1', { tool: 'no-json' });
    expect(completed).toMatchObject({ error: { code: 'invalid_result' } });
  });

  it('is not there is told as unknown', async () => {
    const nobody = await runner.call('nobody/t1', { tool: 'nobody' });
    expect(nobody).toMatchObject({ error: { code: 'unknown_tool' } });
    await runner.register('one-version', server.url('/one-version'));
    const later = await runner.call('nobody/t2', { tool: 'one-version', version: 2 });
    expect(later).toMatchObject({ error: { code: 'unknown_tool' } });
  });

  it('was deleted is still called by the runs that have it', async () => {
    await runner.register('gone', server.url('/gone'));
    expect((await runner.ask('DELETE', '/gone')).statusCode).toBe(204);
    const completed = await runner.call('gone/t1', { tool: 'gone', arguments: { b: 2 } });
    expect(completed.output).toEqual({ echoed: { b: 2 } });
    const described = await runner.described('gone/t2', ['gone']);
    expect(described).toMatchObject({ tools: [], missing: [{ name: 'gone' }] });
  });

  it('has a name that leads to a blocked address by now is not called any more', async () => {
    // Allowed by its text, and by what it leads to first.
    const { port } = new URL(server.url('/'));
    leadsTo.set('sly.localhost', ['127.0.0.1', '169.254.169.254']);
    // So that each call has to ask again where the name leads.
    server.answers('/sly', (response) => response.setHeader('connection', 'close').end('hi'));
    await runner.register('sly', `http://sly.localhost:${port}/sly`);
    expect(await runner.call('sly/t1', { tool: 'sly' })).toMatchObject({ output: 'hi' });
    expect(await runner.call('sly/t2', { tool: 'sly' })).toMatchObject({
      error: { code: 'blocked_address' },
      attempts: 1,
    });
    expect(server.at('/sly')).toHaveLength(1);
    // Each connection asked once: what was judged is what was connected to.
    expect(leadsTo.get('sly.localhost')).toEqual([]);
  });
});

describe('a cancel', () => {
  it('that comes first leaves nothing to be run', async () => {
    await runner.register('never', server.url('/never'));
    await runner.publish([runner.cancelRequest('early/t1')]);
    await runner.records('early/t1', 1);
    await runner.publish([runner.runRequest('early/t1', { tool: 'never' })]);
    const [first, again] = await runner.records('early/t1', 2);
    expect(again!.value).toEqual(first!.value);
    expect(await runner.completion('early/t1')).toMatchObject({ error: { code: 'cancelled' } });
    expect(server.at('/never')).toEqual([]);
  });

  it('ends a call under way, and its request', async () => {
    const closed = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    server.answers('/long', (response) => {
      arrived.resolve();
      response.on('close', () => closed.resolve());
    });
    await runner.register('long', server.url('/long'), { timeout_seconds: 600 });
    await runner.publish([runner.runRequest('long/t1', { tool: 'long' })]);
    await arrived.promise;
    const cancel = runner.cancelRequest('long/t1');
    await runner.publish([cancel, cancel]);
    expect(await runner.completion('long/t1')).toMatchObject({ error: { code: 'cancelled' } });
    await closed.promise;
    expect(server.at('/long')).toHaveLength(1);
  });

  it('ends a call that waits for its next attempt', async () => {
    const arrived = Promise.withResolvers<void>();
    server.answers('/later', (response) => {
      response.writeHead(503, { 'retry-after': '3600' });
      response.end();
      arrived.resolve();
    });
    await runner.register('later', server.url('/later'));
    await runner.publish([runner.runRequest('later/t1', { tool: 'later' })]);
    await arrived.promise;
    await runner.publish([runner.cancelRequest('later/t1')]);
    expect(await runner.completion('later/t1')).toMatchObject({ error: { code: 'cancelled' } });
  });
});

describe('a cancel that comes while an attempt ends', () => {
  it('is not forgotten until the next attempt', async () => {
    const pool = createPool({ url: runner.database.adminUrl, max: 1, applicationName: 'spec' });
    const isFlagged = async () => {
      const text = `SELECT FROM tools.executions WHERE call_id = 'between/t1' AND cancel_requested`;
      return (await pool.query(text)).rowCount === 1;
    };
    server.answers('/between', (response) => {
      // The attempt ends before the heartbeat could have told of the flag.
      const answer = async (): Promise<void> => {
        await runner.publish([runner.cancelRequest('between/t1')]);
        while (!(await isFlagged())) await new Promise((resolve) => setTimeout(resolve, 5));
        response.writeHead(503, { 'retry-after': '3600' }).end();
      };
      void answer();
    });
    await runner.register('between', server.url('/between'));
    await runner.publish([runner.runRequest('between/t1', { tool: 'between' })]);
    const completed = await runner.completion('between/t1');
    expect(completed).toMatchObject({ error: { code: 'cancelled' } });
    await pool.end();
  });
});

describe('a call whose time is over', () => {
  it('is never sent', async () => {
    await runner.register('late', server.url('/late'));
    const completeBy = new Date(Date.now() - 1_000);
    const completed = await runner.call('late/t1', { tool: 'late', completeBy });
    expect(completed).toMatchObject({ error: { code: 'deadline_exceeded' } });
    expect(server.at('/late')).toEqual([]);
  });

  it('is not tried again after it', async () => {
    server.answers('/no-time', (response) => {
      response.writeHead(503, { 'retry-after': '3600' });
      response.end();
    });
    await runner.register('no-time', server.url('/no-time'));
    const completeBy = new Date(Date.now() + 60_000);
    const completed = await runner.call('no-time/t1', { tool: 'no-time', completeBy });
    expect(completed).toMatchObject({ error: { code: 'tool_failed' }, attempts: 1 });
  });
});
