import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

jest.setTimeout(120_000);

/** Statements of a call's way, in its order. */
const insert = 'executions_insert';
const claim = 'executions_claim';
const settle = 'executions_settle';

/** Until a call is put back that its process does not know of: no answer is under way so long. */
const unheldAgeMs = 5_000;

let runner: RunningToolRunner;
let server: ToolServer;
let admin: pg.Pool;

beforeAll(async () => {
  [runner, server] = await Promise.all([
    RunningToolRunner.start({}, { unheldAgeMs }),
    ToolServer.listen(),
  ]);
  admin = new pg.Pool({ connectionString: runner.database.adminUrl });
  await runner.register('echo', server.url('/echo'));
  // The secrets of the tenant are there when a first call has come back.
  await runner.call('warm/t1', { tool: 'echo' });
});
afterEach(() => runner.proxy.accept());
afterAll(async () => {
  await admin?.end();
  await runner?.stop();
  await server?.close();
});

const sendsOf = (callId: string) => server.calls.filter(({ body }) => body.call_id === callId);

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function outboxIsEmpty(): Promise<boolean> {
  return (await admin.query('SELECT FROM tools.outbox')).rowCount === 0;
}

describe('a commit whose answer is lost', () => {
  it('before the send: the call is made once, when nobody can be about to make it', async () => {
    const { proxy } = runner;
    server.answers('/later', (response, _call, count) => {
      response.statusCode = count === 1 ? 503 : 200;
      response.end('done');
    });
    await runner.register('later', server.url('/later'));
    const cuts = proxy.cuts;
    const cutAtMs = performance.now();
    proxy.cutAfter(insert);
    const inserted = runner.call('lost-insert/t1', { tool: 'echo' });
    await until(() => proxy.cuts > cuts);
    // Its first attempt is told to come back, and the claim of the second one is lost.
    const claimed = runner.call('lost-claim/t1', { tool: 'later' });
    await until(() => server.at('/later').length === 1);
    proxy.cutAfter(claim);
    await until(() => proxy.cuts > cuts + 1);
    expect(await inserted).toMatchObject({ output: { echoed: {} }, attempts: 1 });
    // Its process holds it in the table and does not know: until it is put back nobody may send it.
    expect(performance.now() - cutAtMs).toBeGreaterThan(unheldAgeMs);
    expect(await claimed).toMatchObject({ output: 'done', attempts: 2 });
    expect(sendsOf('lost-insert/t1')).toHaveLength(1);
    expect(sendsOf('lost-claim/t1')).toHaveLength(2);
  });

  it('after the send: the call is not made again, and its end is told by the outbox', async () => {
    const { proxy } = runner;
    const cuts = proxy.cuts;
    proxy.cutAfter(settle);
    const completion = await runner.call('lost-settle/t1', { tool: 'echo' });
    expect(completion).toMatchObject({ output: { echoed: {} }, attempts: 1 });
    expect(proxy.cuts).toBe(cuts + 1);
    expect(sendsOf('lost-settle/t1')).toHaveLength(1);
  });

  it('of the outbox: the end may be told again, word for word', async () => {
    const { proxy } = runner;
    // What the sweep deletes goes within its own transaction.
    await until(outboxIsEmpty);
    const cuts = proxy.cuts;
    proxy.cutAfter('tools_outbox_delete');
    await runner.call('lost-delete/t1', { tool: 'echo' });
    await until(() => proxy.cuts > cuts);
    await until(outboxIsEmpty);
    const told = await runner.records('lost-delete/t1', 1);
    expect(new Set(told.map(({ value }) => String(value))).size).toBe(1);
    expect(sendsOf('lost-delete/t1')).toHaveLength(1);
  });
});

describe('a connection that is reset in place of a statement', () => {
  it.each([insert, settle])('%s: it is tried again, and the call is made once', async (one) => {
    const { proxy } = runner;
    const resets = proxy.resets;
    proxy.resetAt(one);
    const completion = await runner.call(`reset-${one}/t1`, { tool: 'echo' });
    expect(completion).toMatchObject({ output: { echoed: {} }, attempts: 1 });
    expect(proxy.resets).toBe(resets + 1);
    expect(sendsOf(`reset-${one}/t1`)).toHaveLength(1);
  });
});

describe('while connections are refused', () => {
  it('a call under way is settled afterwards, and one that is asked for is made then', async () => {
    const { proxy } = runner;
    const answer = Promise.withResolvers<void>();
    server.answers('/slow', (response) => void answer.promise.then(() => response.end('done')));
    await runner.register('slow', server.url('/slow'));
    const slow = runner.call('refused/t1', { tool: 'slow' });
    await until(() => server.at('/slow').length === 1);
    const { refused } = proxy;
    proxy.refuse();
    answer.resolve();
    const asked = runner.call('refused/t2', { tool: 'echo' });
    await until(() => proxy.refused > refused + 2);
    expect(sendsOf('refused/t2')).toEqual([]);
    proxy.accept();
    expect(await slow).toMatchObject({ output: 'done' });
    expect(await asked).toMatchObject({ output: { echoed: {} } });
    expect(sendsOf('refused/t1')).toHaveLength(1);
    expect(sendsOf('refused/t2')).toHaveLength(1);
  });

  it('for longer than the lease, a call under way is lost, and made once more', async () => {
    const { proxy } = runner;
    const answer = Promise.withResolvers<void>();
    server.answers('/hung', (response, _call, count) => {
      if (count === 1) response.on('close', () => answer.resolve());
      else response.end('done');
    });
    await runner.register('hung', server.url('/hung'));
    const hung = runner.call('outage/t1', { tool: 'hung' });
    await until(() => server.at('/hung').length === 1);
    proxy.refuse();
    // Who cannot renew its lease calls off what it runs.
    await answer.promise;
    proxy.accept();
    expect(await hung).toMatchObject({ output: 'done' });
    const keys = sendsOf('outage/t1').map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });
});
