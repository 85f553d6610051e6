import { describe, expect, it } from '@jest/globals';
import { inlineBodyBytesMax } from '@millrace/contracts';

import { lighten } from './large-bodies.ts';
import type { Command } from './workflow.ts';

const large = { messages: ['x'.repeat(inlineBodyBytesMax)] };
const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };

function call(params: Readonly<Record<string, unknown>>): Command {
  return { kind: 'call_claude', callId: 'job-1/m1', seq: 1, turn: 1, params };
}

describe('bodies that are too large to travel', () => {
  it('go by reference, under the name of what they are', () => {
    const one = lighten([call(large)]);
    const [command] = one.commands;
    const [body] = one.bodies;
    expect(command).toMatchObject({ kind: 'call_claude', paramsRef: body?.id });
    expect(command).not.toHaveProperty('params');
    expect(JSON.parse(body?.bytes.toString() ?? '')).toEqual(large);
    expect(lighten([call(large)]).bodies[0]?.id).toBe(body?.id);
    expect(lighten([call({ ...large, n: 1 })]).bodies[0]?.id).not.toBe(body?.id);
  });

  it('take a result with them that is as large', () => {
    const { commands } = lighten([
      {
        kind: 'finish',
        end: {
          status: 'succeeded',
          result: 'x'.repeat(inlineBodyBytesMax + 1),
          message: large,
          spent,
          tainted: false,
          standIn: false,
        },
      },
    ]);
    const [finish] = commands;
    expect(finish?.kind === 'finish' && finish.end.result).toBeUndefined();
    expect(finish).toMatchObject({ end: { messageRef: expect.stringMatching(/^blob_wf\./) } });
  });

  it('leaves alone what is small', () => {
    const commands = [call({ messages: [] })];
    expect(lighten(commands)).toEqual({ commands, bodies: [] });
  });
});
