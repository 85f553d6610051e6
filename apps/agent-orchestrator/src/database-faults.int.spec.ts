import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { PostgresProxy } from '@millrace/testing';
import pg from 'pg';

import { OrchestratorWorld, type Script } from './orchestrator-world.fixture.ts';
import { faultsOfRuns, openRowsOfRuns } from './settled-runs.fixture.ts';

jest.setTimeout(60_000);

const twoTurns: Script = {
  turns: [
    [{ name: 'look', input: { at: 1 } }, { name: 'look', input: { at: 2 } }],
    [{ name: 'look', input: { at: 3 } }],
  ],
};
const heldTool: Script = { turns: [[{ name: 'held', input: { at: 1 } }]] };

let world: OrchestratorWorld;
let proxy: PostgresProxy;
let admin: pg.Pool;

beforeAll(async () => {
  world = await OrchestratorWorld.start();
  admin = new pg.Pool({ connectionString: world.database.adminUrl });
  proxy = await PostgresProxy.start(world.database.url('agent_orchestrator'));
  await world.startOrchestrator({ DATABASE_URL: proxy.url });
  await world.fakeWorker((id) => (id.startsWith('held') ? heldTool : twoTurns));
  await world.fakeTools();
});

afterEach(() => proxy.accept());

afterAll(async () => {
  await admin?.end();
  await world?.stop();
  await proxy?.stop();
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** The run has ended once, and left nothing behind. */
async function expectSettled(id: string): Promise<void> {
  const { ids, job } = await world.finished(id);
  expect(job.status).toBe('succeeded');
  expect(ids.size).toBe(1);
  await until(async () => (await openRowsOfRuns(admin, id)) === 0);
  expect(await faultsOfRuns(admin, id)).toEqual([]);
}

describe('a commit whose answer is lost', () => {
  it('is found by its event, whichever of a run it is', async () => {
    const before = proxy.cuts;
    let isOver = false;
    const cutting = (async () => {
      while (!isOver) {
        const { cuts } = proxy;
        proxy.cutAfter('workflows_write');
        await until(() => isOver || proxy.cuts > cuts);
      }
      proxy.cutAfter('nothing any more');
    })();
    await world.submit('lost-all', { params: { tools: ['look'] } });
    await expectSettled('lost-all');
    isOver = true;
    await cutting;
    // The request, the tools, three answers of the model, three of tools.
    expect(proxy.cuts - before).toBeGreaterThanOrEqual(5);
  });

  it.each(['workflows_load', 'timers_take', 'timers_next'])(
    'by %s changes nothing',
    async (statement) => {
      const before = proxy.cuts;
      const id = `lost-${statement}`;
      proxy.cutAfter(statement);
      await world.submit(id, { params: { tools: ['look'] } });
      await expectSettled(id);
      await until(() => proxy.cuts > before);
    },
  );

  it('by the outbox tells the end again, the same one', async () => {
    const before = proxy.cuts;
    proxy.cutAfter('orchestrator_outbox_delete');
    // Its deadline ends it, and what timers cause goes by the outbox.
    await world.submit('held-late', {
      params: { tools: ['held'] },
      budget: { seconds: 1, on_reached: 'fail' },
    });
    const { ids } = await world.finished('held-late');
    expect(ids.size).toBe(1);
    await until(() => proxy.cuts > before);
    await until(async () => (await openRowsOfRuns(admin, 'held-late')) === 0);
    expect(await faultsOfRuns(admin, 'held-late')).toEqual([]);
  });
});

describe('a connection that is reset in place of a statement', () => {
  it.each(['workflows_load', 'workflows_write'])('%s: the event is decided anew', async (one) => {
    const before = proxy.resets;
    const id = `reset-${one}`;
    proxy.resetAt(one);
    await world.submit(id, { params: { tools: ['look'] } });
    await until(() => proxy.resets > before);
    proxy.resetAt(one);
    await until(() => proxy.resets > before + 1);
    await expectSettled(id);
  });
});

describe('while connections are refused', () => {
  it('nothing is decided, and afterwards everything, once', async () => {
    await world.submit('held-refused', { params: { tools: ['held'] } });
    const heldOf = () => world.held.find(({ workflow_id }) => workflow_id.includes('held-refused'));
    await until(() => heldOf() !== undefined);
    proxy.refuse();
    await world.complete(heldOf()!);
    await world.submit('refused-1', { params: { tools: ['look'] } });
    // It has tried, and could not: only then is the way free again.
    await until(() => proxy.refused > 3);
    expect(world.results.messages.filter(({ key }) => String(key).includes('refused'))).toEqual([]);
    proxy.accept();
    await expectSettled('held-refused');
    await expectSettled('refused-1');
  });
});
