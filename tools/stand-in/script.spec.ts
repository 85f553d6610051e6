import { describe, expect, it } from '@jest/globals';

import { readRequest, type Request } from './conversation.mjs';
import { Script, stepsOf } from './script.mjs';

/** A conversation in which the assistant has spoken so many times. */
function conversation(prompt: string, said: number): Request {
  const turn = [
    { role: 'assistant', content: 'so' },
    { role: 'user', content: 'and?' },
  ];
  const { request } = readRequest({
    model: 'claude-sonnet-5-5',
    max_tokens: 10,
    messages: [
      { role: 'user', content: prompt },
      ...Array.from({ length: said }, () => turn).flat(),
    ],
  });
  if (request === undefined) throw new TypeError('it was refused');
  return request;
}

describe('markers', () => {
  it('ask for tools, one after another or together', () => {
    const steps = stepsOf(
      'Please [[tool:find {"q": "a"}]] and [[tool:read {"n": 1} && read {"n": 2} && list]] it.',
    );
    expect(steps).toEqual([
      { kind: 'tools', calls: [{ name: 'find', input: { q: 'a' } }] },
      {
        kind: 'tools',
        calls: [
          { name: 'read', input: { n: 1 } },
          { name: 'read', input: { n: 2 } },
          { name: 'list', input: {} },
        ],
      },
    ]);
    expect(stepsOf('[[tool:a && tool:b]]')).toMatchObject([
      { calls: [{ name: 'a' }, { name: 'b' }] },
    ]);
  });

  it("may stand in a tool's arguments: they are for who reads those", () => {
    const inner = 'go on [[tool:look {"at": "]] }"}]]';
    const steps = stepsOf(`[[tool:helper {"prompt": ${JSON.stringify(inner)}}]]`);
    expect(steps).toEqual([
      { kind: 'tools', calls: [{ name: 'helper', input: { prompt: inner } }] },
    ]);
    expect(stepsOf(inner)).toMatchObject([{ calls: [{ name: 'look', input: { at: ']] }' } }] }]);
  });

  it('that cannot be read are text', () => {
    expect(stepsOf('[[tool:]] [[tool:a {"b": ]] [[stop:never]] [[fault:500]]')).toEqual([]);
  });
});

describe('a script', () => {
  const prompt = '[[tool:a]] then [[stop:pause_turn]] then [[tool:b]] then [[stop:refusal]]';

  it('is played turn by turn, as far as the conversation has come', () => {
    const script = new Script();
    const played = [0, 1, 2, 3, 4].map((said) => script.next(conversation(prompt, said))?.kind);
    expect(played).toEqual(['tools', 'pause_turn', 'tools', 'refusal', undefined]);
    // The same request again is the same turn.
    expect(script.next(conversation(prompt, 0))?.kind).toBe('tools');
  });

  it('is cut off once: the turn is not in the conversation when it comes again', () => {
    const script = new Script();
    const cut = '[[tool:a]] [[stop:max_tokens_tool b]] [[tool:b]]';
    const next = (said: number) => script.next(conversation(cut, said));
    expect(next(0)).toMatchObject({ calls: [{ name: 'a' }] });
    expect(next(1)).toEqual({ kind: 'cut', tool: 'b' });
    expect(next(1)).toMatchObject({ calls: [{ name: 'b' }] });
    expect(next(2)).toBeUndefined();
  });
});
