import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  approvalsOf,
  conversationsWith,
  decide,
  endOfAgent,
  register,
  startAgent,
  statusOf,
} from './agent-runs.ts';
import { ToolServer } from './receivers/tool-server.ts';
import { pidOf, readyReplicas, uniqueId, until } from './running-stack.ts';

jest.setTimeout(180_000);

const orchestrators = ['agent-orchestrator-1', 'agent-orchestrator-2'];

let tools: ToolServer;

beforeAll(async () => {
  tools = await ToolServer.listen();
  const target = (path: string) => ({ kind: 'http', url: tools.url(path) }) as const;
  await register('fetch', { effect: 'read', approval: 'never', target: target('/fetch') });
  await register('move', { effect: 'write', approval: 'auto', target: target('/move') });
  await register('wipe', { effect: 'write', approval: 'always', target: target('/wipe') });
});
afterAll(() => tools?.close());

/** The only question that a run waits with. */
async function asked(id: string) {
  await statusOf(id, 'awaiting_approval');
  const pending = (await approvalsOf(id)).filter(({ status }) => status === 'pending');
  expect(pending).toHaveLength(1);
  return pending[0]!;
}

const pathsOf = (id: string) => tools.of(id).map(({ path }) => path);

describe('a person who is asked', () => {
  it('refuses with a reason, which the model is told in place of a result', async () => {
    const mark = uniqueId('refused');
    const reason = 'Not before the audit.';
    const script = `${mark} [[tool:wipe {"all":true}]]`;
    const { id } = await startAgent({ script, params: { tools: ['wipe'] } });
    await decide(id, await asked(id), { decision: 'reject', reason });
    const done = await endOfAgent(id);
    expect(done.status).toBe('succeeded');
    expect(pathsOf(id)).toEqual([]);
    const last = (await conversationsWith(mark)).at(-1);
    expect(last).toContain(`approval_rejected: ${reason}`);
    expect(await approvalsOf(id)).toMatchObject([{ tool: 'wipe', status: 'rejected' }]);
  });

  it('is asked about a write once a tool has told what others wrote, and not before', async () => {
    const script = '[[tool:move {"n":1}]] [[tool:fetch {}]] [[tool:move {"n":2}]]';
    const { id } = await startAgent({ script, params: { tools: ['move', 'fetch'] } });
    const question = await asked(id);
    expect(question).toMatchObject({ tool: 'move', arguments: { n: 2 } });
    // What a write answers is of others, too: the next one would be asked about.
    expect(pathsOf(id)).toEqual(['/move', '/fetch']);
    await decide(id, question, { decision: 'approve' });
    expect(await endOfAgent(id)).toMatchObject({ status: 'succeeded' });
    expect(pathsOf(id)).toEqual(['/move', '/fetch', '/move']);
  });

  it('agrees while every orchestrator is away, and is heard', async () => {
    const script = '[[tool:wipe {"n":3}]]';
    const { id } = await startAgent({ script, params: { tools: ['wipe'] } });
    const question = await asked(id);
    const before = orchestrators.map(pidOf);
    for (const pid of before) process.kill(Number(pid), 'SIGKILL');
    await until('the decision to be taken', 60_000, () =>
      decide(id, question, { decision: 'approve' }).catch(() => undefined),
    );
    const done = await endOfAgent(id, { timeoutMs: 90_000 });
    await readyReplicas();
    expect(done.status).toBe('succeeded');
    expect(orchestrators.map(pidOf).some((pid, n) => pid === before[n])).toBe(false);
    expect(pathsOf(id)).toEqual(['/wipe']);
    // It was for that call, once.
    await expect(decide(id, question, { decision: 'approve' })).rejects.toThrow(/: 4\d\d: /);
  });

  it('agrees to what a sub-agent asks by the job that it works for', async () => {
    const prompt = 'Do it. [[tool:wipe {"n":4}]]';
    const { id } = await startAgent({
      script: `[[tool:helper ${JSON.stringify({ prompt })}]]`,
      params: { agents: [{ name: 'helper', description: 'helps', tools: ['wipe'] }] },
    });
    const question = await until('the question', 60_000, async () => {
      return (await approvalsOf(id).catch(() => [])).find(({ status }) => status === 'pending');
    });
    expect(question).toMatchObject({ tool: 'wipe', arguments: { n: 4 } });
    expect(pathsOf(id)).toEqual([]);
    await decide(id, question, { decision: 'approve' });
    const done = await endOfAgent(id);
    expect(done).toMatchObject({ status: 'succeeded', spent: { tool_calls: 2 } });
    expect(pathsOf(id)).toEqual(['/wipe']);
  });
});
