import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import { defineTool } from './define-tool.ts';

const context = {
  callId: 'job/t1',
  jobId: 'job',
  attempt: 1,
  deadline: new Date(),
  signal: new AbortController().signal,
};

describe('a tool with a zod schema', () => {
  const tool = defineTool({
    name: 'add',
    description: 'Adds',
    effect: 'read',
    timeoutSeconds: 5,
    input: z.object({ a: z.number(), b: z.number().default(1) }),
    run: ({ a, b }) => a + b,
  });

  it('is registered by the JSON Schema of it', () => {
    expect(tool.submission).toMatchObject({
      description: 'Adds',
      input_schema: { type: 'object', required: ['a'] },
      target: { kind: 'worker' },
      effect: 'read',
      timeout_seconds: 5,
    });
  });

  it('is run with what the schema makes of the arguments', () => {
    const call = tool.parse({ a: 2 });
    expect(call.ok && call.run(context)).toBe(3);
  });

  it('is not run with anything else', () => {
    expect(tool.parse({ a: 'x' })).toMatchObject({ ok: false, detail: expect.any(String) });
  });
});

it('a tool with a JSON Schema is run with the arguments as they are', () => {
  const tool = defineTool({
    name: 'echo',
    description: 'Says it again',
    input: { type: 'object' },
    run: (args) => args,
  });
  const call = tool.parse({ a: 'x' });
  expect(call.ok && call.run(context)).toEqual({ a: 'x' });
});

it('a name that could not be registered is refused', () => {
  const options = { description: 'x', input: { type: 'object' as const }, run: () => 'x' };
  expect(() => defineTool({ ...options, name: 'not a name' })).toThrow();
});
