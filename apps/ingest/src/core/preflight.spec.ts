import { describe, expect, it } from '@jest/globals';

import { maxTokensDefault, preflight } from './preflight.ts';

const user = { role: 'user', content: 'Hi' };
const toolUse = { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'x' }] };
const toolResult = { type: 'tool_result', tool_use_id: 't1', content: 'ok' };
const results = { role: 'user', content: [toolResult] };
const check = (params: Record<string, unknown>) =>
  preflight({ messages: [user], ...params }, { defaultModel: 'claude-sonnet-5-5' });

describe('preflight', () => {
  it('fills in model and max_tokens, and takes stream out', () => {
    expect(check({ stream: true, system: 's' })).toEqual({
      ok: true,
      model: 'claude-sonnet-5-5',
      stream: true,
      params: {
        messages: [user],
        system: 's',
        model: 'claude-sonnet-5-5',
        max_tokens: maxTokensDefault,
      },
    });
    expect(check({ model: 'm', max_tokens: 1 })).toMatchObject({
      params: { model: 'm', max_tokens: 1 },
      stream: false,
    });
  });

  const document = { type: 'document', source: { type: 'text', data: 'x' } };
  it.each<[string, Record<string, unknown>, string]>([
    ['temperature', { temperature: 0 }, 'params.temperature'],
    ['top_p', { top_p: 0.5 }, 'params.top_p'],
    ['top_k', { top_k: 1 }, 'params.top_k'],
    ['no messages', { messages: [] }, 'params.messages'],
    ['messages that are no list', { messages: 'x' }, 'params.messages'],
    ['max_tokens 0', { max_tokens: 0 }, 'params.max_tokens'],
    ['a model with a space', { model: 'a b' }, 'params.model'],
    [
      'an assistant first',
      { messages: [{ role: 'assistant', content: 'x' }] },
      'params.messages.0.role',
    ],
    ['no content', { messages: [{ role: 'user' }] }, 'params.messages.0.content'],
    ['empty content', { messages: [{ role: 'user', content: '' }] }, 'params.messages.0.content'],
    [
      'a block without a type',
      { messages: [{ role: 'user', content: [{}] }] },
      'params.messages.0.content.0',
    ],
    [
      'a document in an assistant message',
      { messages: [user, { role: 'assistant', content: [document] }, user] },
      'params.messages.1.content.0',
    ],
    ['a tool_use at the end', { messages: [user, toolUse] }, 'params.messages.1.content'],
    ['a tool_use without result', { messages: [user, toolUse, user] }, 'params.messages.2.content'],
    [
      'a result that answers nothing',
      { messages: [user, { role: 'user', content: [toolResult] }] },
      'params.messages.1.content',
    ],
    [
      'a result after text',
      {
        messages: [user, toolUse, { role: 'user', content: [{ type: 'text' }, toolResult] }],
      },
      'params.messages.2.content',
    ],
  ])('refuses %s', (_what, params, path) => {
    const checked = check(params);
    expect(checked.ok).toBe(false);
    expect(checked.ok ? [] : checked.errors.map((error) => error.path)).toContain(path);
  });

  it.each<[string, Record<string, unknown>]>([
    ['a document in a user message', { messages: [{ role: 'user', content: [document] }] }],
    ['a tool_use that is answered', { messages: [user, toolUse, results] }],
    ['a session’s turn that begins with results', { messages: [results] }],
    ['an empty last assistant turn', { messages: [user, { role: 'assistant', content: '' }] }],
    ['a parameter that is new', { brand_new: { x: 1 } }],
  ])('lets %s pass', (_what, params) => {
    expect(check(params).ok).toBe(true);
  });
});
