import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { z } from 'zod';

import {
  approvalsOf,
  conversationsWith,
  decide,
  endOfAgent,
  register,
  startAgent,
  statusOf,
  stepsOf,
} from './agent-runs.ts';
import { ToolServer } from './receivers/tool-server.ts';
import { pidOf, readyReplicas, uniqueId, until } from './running-stack.ts';

jest.setTimeout(180_000);

const orchestrators = ['agent-orchestrator-1', 'agent-orchestrator-2'];
const blockSchema = z.looseObject({ type: z.string() });
const conversationSchema = z.array(
  z.object({ role: z.string(), content: z.union([z.string(), z.array(blockSchema)]) }),
);

let tools: ToolServer;

beforeAll(async () => {
  tools = await ToolServer.listen();
  const target = (path: string) => ({ kind: 'http', url: tools.url(path) }) as const;
  await register('dig', { effect: 'read', approval: 'never', target: target('/dig') });
  await register('alter', { effect: 'write', approval: 'auto', target: target('/alter') });
});
afterAll(() => tools?.close());

async function killOrchestrators(): Promise<void> {
  const before = orchestrators.map(pidOf);
  for (const pid of before) process.kill(Number(pid), 'SIGKILL');
  await until('other orchestrators', 60_000, () =>
    orchestrators.map(pidOf).every((pid, n) => pid !== undefined && pid !== before[n]),
  );
  await readyReplicas();
}

/** What the model was shown last: of each result in its last message, the text. */
async function lastResults(mark: string): Promise<string[]> {
  const conversations = await conversationsWith(mark);
  const messages = conversationSchema.parse(JSON.parse(conversations.at(-1) ?? '[]'));
  const results = messages
    .map(({ content }) => (typeof content === 'string' ? [] : content))
    .map((blocks) => blocks.filter(({ type }) => type === 'tool_result'))
    .filter((blocks) => blocks.length > 1);
  return (results.at(-1) ?? []).map((block) => JSON.stringify(block['content']));
}

const helper = (name: string, given: readonly string[]) => ({
  name,
  description: 'finds something out',
  ...(given.length > 0 ? { tools: given } : {}),
});

describe('three sub-agents that work at once', () => {
  it('survive a kill of the orchestrator, and join in the order asked', async () => {
    const mark = uniqueId('parent');
    const held = new Map<number, () => void>();
    tools.answer = async ({ arguments: given, path }) => {
      if (path !== '/dig') return 'altered';
      const { at } = z.object({ at: z.int() }).parse(given);
      // Until the story lets it go, and again after a kill.
      await new Promise<void>((resolve) => held.set(at, resolve));
      return { found: `thing-${at}` };
    };
    const asked = [1, 2, 3].map((at) => {
      const prompt = `Part ${at} of ${mark}. [[tool:dig {"at":${at}}]]`;
      return `helper ${JSON.stringify({ prompt })}`;
    });
    const { id } = await startAgent({
      script: `${mark} [[tool:${asked.join(' && ')}]] [[tool:alter {"to":"b"}]]`,
      params: { tools: ['alter'], agents: [helper('helper', ['dig'])] },
    });
    await until('all three to have begun', 60_000, () => held.size === 3);
    await killOrchestrators();
    // The last one asked for ends first.
    for (const at of [3, 1, 2]) {
      held.get(at)!();
      await until(`sub-agent ${at} to end`, 60_000, async () => {
        const children = await stepsOf(id, 'child');
        return children.some((each) => each.id === `${id}/c${at}` && each.under_way !== true);
      });
    }

    // They read what others wrote, and so did whoever reads what they say: a write asks a person.
    await statusOf(id, 'awaiting_approval');
    expect(tools.calls.filter(({ path }) => path === '/alter')).toEqual([]);
    const results = await lastResults(mark);
    expect(results.map((result) => /thing-\d/.exec(result)?.[0])).toEqual([
      'thing-1',
      'thing-2',
      'thing-3',
    ]);
    const [approval] = await approvalsOf(id);
    await decide(id, approval!, { decision: 'approve' });
    const done = await endOfAgent(id);
    expect(done).toMatchObject({ status: 'succeeded' });

    const calls = await stepsOf(id, 'model_call');
    // Two of each sub-agent, three of its parent.
    expect(calls).toHaveLength(9);
    const sum = (of: (call: (typeof calls)[number]) => number | undefined) =>
      calls.reduce((total, call) => total + (of(call) ?? 0), 0);
    expect(done.usage).toMatchObject({
      input_tokens: sum(({ usage }) => usage?.input_tokens),
      output_tokens: sum(({ usage }) => usage?.output_tokens),
    });
    expect(done.spent!.usd).toBeCloseTo(sum(({ cost_usd }) => cost_usd), 6);
    // A call of a sub-agent is one of a tool, too.
    expect(done.spent).toMatchObject({ iterations: 9, tool_calls: 3 + 3 + 1 });
    const keys = new Set(tools.of(id).map(({ idempotencyKey }) => idempotencyKey));
    expect(keys.size).toBe(4);
  });

  it('that read nothing of others leave their parent as it was: it asks nobody', async () => {
    tools.answer = () => 'altered';
    const asked = [1, 2, 3].map((n) => `plain ${JSON.stringify({ prompt: `Say ${n}.` })}`);
    const { id } = await startAgent({
      script: `[[tool:${asked.join(' && ')}]] [[tool:alter {"to":"c"}]]`,
      params: { tools: ['alter'], agents: [helper('plain', [])] },
    });
    expect(await endOfAgent(id)).toMatchObject({ status: 'succeeded' });
    expect(await approvalsOf(id)).toEqual([]);
    expect(tools.of(id).map(({ path }) => path)).toEqual(['/alter']);
  });
});
