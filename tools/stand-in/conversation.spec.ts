import { describe, expect, it } from '@jest/globals';

import { questionOf, readRequest } from './conversation.mjs';

const asks = {
  role: 'assistant',
  content: [
    { type: 'text', text: 'I ask.' },
    { type: 'tool_use', id: 'toolu_1', name: 'look', input: {} },
    { type: 'tool_use', id: 'toolu_2', name: 'look', input: {} },
  ],
};
const opening = { role: 'user', content: 'Look twice.' };
const text = { type: 'text', text: 'and then?' };

function result(id: string) {
  return { type: 'tool_result', tool_use_id: id, content: 'seen' };
}

function results(...content: unknown[]) {
  return { role: 'user', content };
}

function read(messages: unknown[], fields: object = {}) {
  return readRequest({ model: 'claude-sonnet-5-5', max_tokens: 10, messages, ...fields });
}

describe('a conversation that the API takes', () => {
  it.each<[string, unknown[]]>([
    ['a question', [opening]],
    ['all results, in any order, before text', [
      opening,
      asks,
      results(result('toolu_2'), result('toolu_1'), text),
    ]],
    ['results in two messages of the user', [
      opening,
      asks,
      results(result('toolu_1')),
      results(result('toolu_2')),
    ]],
    ['a turn that goes on after the assistant', [
      opening,
      { role: 'assistant', content: [text] },
    ]],
  ])('%s', (_, messages) => {
    expect(read(messages).refusal).toBeUndefined();
    expect(read(messages).request?.messages).toHaveLength(messages.length);
  });
});

describe('a conversation that the API refuses', () => {
  it.each<[string, unknown[], string]>([
    ['no messages', [], 'messages'],
    ['an assistant who begins', [asks], 'first message must use the "user" role'],
    ['a message that says nothing', [{ role: 'user', content: [] }], 'non-empty content'],
    ['a tool_use at the end', [opening, asks], 'without `tool_result`'],
    ['a tool_use that nobody answers', [opening, asks, opening], 'toolu_1, toolu_2'],
    ['one result too few', [opening, asks, results(result('toolu_1'))], 'after: toolu_2'],
    ['results after text', [
      opening,
      asks,
      results(text, result('toolu_1'), result('toolu_2')),
    ], 'without `tool_result`'],
    ['a result that was not asked for', [opening, results(result('toolu_9'))], 'toolu_9'],
    ['a result that comes twice', [
      opening,
      asks,
      results(result('toolu_1'), result('toolu_2'), result('toolu_2')),
    ], 'unexpected `tool_use_id`'],
    ['a result that comes late', [
      opening,
      asks,
      results(result('toolu_1'), result('toolu_2')),
      { role: 'assistant', content: 'Thanks.' },
      results(result('toolu_1')),
    ], 'messages.4: unexpected'],
    ['an id that is used again', [
      opening,
      asks,
      results(result('toolu_1'), result('toolu_2')),
      asks,
      results(result('toolu_1'), result('toolu_2')),
    ], 'must be unique'],
  ])('%s', (_, messages, refusal) => {
    expect(read(messages).refusal).toContain(refusal);
  });

  it('because its tools have one name, or it asks for no tokens', () => {
    const tool = { name: 'look', input_schema: { type: 'object' } };
    expect(read([opening], { tools: [tool, tool] }).refusal).toContain('unique');
    expect(read([opening], { max_tokens: 0 }).refusal).toContain('max_tokens');
    expect(readRequest(undefined).refusal).toBeDefined();
  });
});

it('is asked what the user said last, though tools answered since', () => {
  const { request } = read([opening, asks, results(result('toolu_1'), result('toolu_2'))]);
  if (request === undefined) throw new TypeError('it was refused');
  expect(questionOf(request)).toEqual({ prompt: 'Look twice.', turn: 1 });
});
