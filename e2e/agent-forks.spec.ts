import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ForkComparison } from '@millrace/contracts';

import {
  bodyOf,
  endOfAgent,
  register,
  startAgent,
  stepsOf,
  type ShownAgent,
} from './agent-runs.ts';
import { ToolServer } from './receivers/tool-server.ts';

jest.setTimeout(120_000);

/** At half the price of the source's. */
const cheaper = 'claude-haiku-4-5';

let tools: ToolServer;
let source: ShownAgent;
/** Of the source: when it had looked, and had not written yet. */
let beforeWrite: number;

beforeAll(async () => {
  tools = await ToolServer.listen();
  const target = (path: string) => ({ kind: 'http', url: tools.url(path) }) as const;
  await register('view', { effect: 'read', approval: 'never', target: target('/view') });
  await register('post', { effect: 'write', approval: 'never', target: target('/post') });
  // Each answer is another one: a recorded result can be told from a new one.
  tools.answer = ({ path }) => ({ path, receipt: `receipt-${tools.calls.length}` });
  const { id } = await startAgent({
    script: '[[tool:view {"at":1}]] [[tool:post {"sum":5}]]',
    params: { tools: ['view', 'post'] },
  });
  source = await endOfAgent(id);
  const looked = (await stepsOf(id, 'tool_call')).find(({ name }) => name === 'view');
  beforeWrite = looked!.step;
});
afterAll(() => tools?.close());

async function fork(submission: object): Promise<ShownAgent> {
  const init = { method: 'POST', body: JSON.stringify(submission) };
  const { id } = await bodyOf<ShownAgent>(`/v1/jobs/${source.id}/fork`, init);
  return endOfAgent(id);
}

const compared = ({ id }: ShownAgent) => bodyOf<ForkComparison>(`/v1/jobs/${id}/fork`);

describe('a fork of a run that wrote', () => {
  it('is told what the write gave then, and does not write again', async () => {
    expect(tools.of(source.id).map(({ path }) => path)).toEqual(['/view', '/post']);
    const forked = await fork({ from_step: beforeWrite });
    expect(forked).toMatchObject({ status: 'succeeded', result: source.result });
    expect(forked.result).toContain('receipt-2');
    expect(tools.of(forked.id)).toEqual([]);
    const comparison = await compared(forked);
    expect(comparison).toMatchObject({
      from_step: beforeWrite,
      source: { job_id: source.id, turns: 2, tool_calls: [{ tool: 'post', input: { sum: 5 } }] },
      // A step of the run as any: it got what its source had, and nobody was called.
      fork: { job_id: forked.id, turns: 2, tool_calls: [{ tool: 'post', input: { sum: 5 } }] },
      difference: { usd: 0, turns: 0, tool_calls: 0 },
      same_answer: true,
    });
  });

  it('is refused a write that was never made, and is told so', async () => {
    const prompt = 'Another one. [[tool:post {"sum":6}]]';
    const forked = await fork({ from_step: 0, prompt });
    expect(forked.status).toBe('succeeded');
    expect(forked.result).toContain('side_effect_refused');
    expect(tools.of(forked.id)).toEqual([]);
    const comparison = await compared(forked);
    expect(comparison).toMatchObject({ difference: { turns: -1 }, same_answer: false });
    expect(comparison.source.usd).toBeCloseTo(source.spent!.usd, 6);
  });

  it('writes once when it may, for less with another model', async () => {
    const forked = await fork({ from_step: beforeWrite, allow_side_effects: true, model: cheaper });
    expect(forked.status).toBe('succeeded');
    const [write, ...more] = tools.of(forked.id);
    expect([write?.path, write?.arguments, more]).toEqual(['/post', { sum: 5 }, []]);
    const before = tools.of(source.id).map(({ idempotencyKey }) => idempotencyKey);
    expect(before).not.toContain(write?.idempotencyKey);
    const comparison = await compared(forked);
    expect(comparison).toMatchObject({
      source: { model: 'claude-sonnet-5-5' },
      fork: { model: cheaper, tool_calls: [{ tool: 'post', is_error: false }] },
      difference: { turns: 0, tool_calls: 0 },
      same_answer: false,
    });
    expect(comparison.difference.usd).toBeLessThan(0);
    expect(comparison.fork.usd).toBeCloseTo(forked.spent!.usd, 6);
  });
});
