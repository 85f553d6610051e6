import { describe, expect, it } from '@jest/globals';
import { agentParamsSchema, documentParamsSchema } from '@millrace/contracts';

import { judgeParams } from './judge-params.ts';
import type { IntakeRules } from './judge-submission.ts';
import { maxTokensDefault } from './preflight.ts';

const rules: IntakeRules = {
  defaultModel: 'm',
  checkUrl: (raw) =>
    raw === 'https://good'
      ? { ok: true }
      : { ok: false, code: 'unsafe_callback_url', detail: 'not allowed' },
};
const messages = [{ role: 'user', content: 'p' }];
const document = { id: 'doc_1' };

function judge(type: 'agent' | 'document', params: Record<string, unknown>) {
  return judgeParams({ type, params }, rules);
}

/** What is wrong, by code and field. */
function wrongOf(type: 'agent' | 'document', params: Record<string, unknown>) {
  const judged = judge(type, params);
  if (judged.ok) return [];
  return [judged.refusal.code, ...judged.refusal.errors.map(({ path }) => path)];
}

describe('parameters of an agent', () => {
  it('of a prompt alone are one message, with the defaults of a message', () => {
    const judged = judgeParams({ type: 'agent', prompt: 'p' }, rules);
    expect(judged).toEqual({
      ok: true,
      params: { messages, model: 'm', max_tokens: maxTokensDefault },
      model: 'm',
      stream: false,
      tainted: false,
    });
  });

  it('are kept as they are, without `stream`, and say whether others wrote in them', () => {
    const given = {
      messages,
      tools: ['look', 'write'],
      agents: [{ name: 'helper', description: 'd', tools: ['look'] }],
      signals: ['go'],
      output_schema: { type: 'object' },
      thinking: { type: 'adaptive' },
      untrusted: true,
    };
    const judged = judge('agent', { ...given, stream: true });
    expect(judged).toMatchObject({ ok: true, stream: true, tainted: true, params: given });
    if (!judged.ok) throw new TypeError('refused');
    expect('stream' in judged.params).toBe(false);
    expect(agentParamsSchema.safeParse(judged.params).success).toBe(true);
  });

  it.each([
    ['no messages', {}, ['refused_by_model', 'params.messages']],
    [
      'a sampling parameter',
      { messages, temperature: 1 },
      ['refused_by_model', 'params.temperature'],
    ],
    ['a model with a space', { messages, model: 'a b' }, ['refused_by_model', 'params.model']],
    ['tools that are no names', { messages, tools: [{}] }, ['invalid_request', 'params.tools.0']],
    ['a tool twice', { messages, tools: ['a', 'a'] }, ['invalid_request', 'params.tools.1']],
    [
      'a tool named as the final answer',
      { messages, tools: ['final_answer'] },
      ['invalid_request', 'params.tools.0'],
    ],
    [
      'a sub-agent named as a tool',
      { messages, tools: ['a'], agents: [{ name: 'a', description: 'd' }] },
      ['invalid_request', 'params.agents.0'],
    ],
    [
      'a sub-agent that waits for signals, which never reach it',
      { messages, agents: [{ name: 'a', description: 'd', signals: ['go'] }] },
      ['invalid_request', 'params.agents.0'],
    ],
    [
      'a tool twice in a sub-agent',
      { messages, agents: [{ name: 'a', description: 'd', tools: ['b', 'b'] }] },
      ['invalid_request', 'params.agents.0.tools.1'],
    ],
    ['a signal twice', { messages, signals: ['a', 'a'] }, ['invalid_request', 'params.signals.1']],
    [
      'an answer that is no object',
      { messages, output_schema: { type: 'string' } },
      ['invalid_request', 'params.output_schema.type'],
    ],
  ])('with %s are refused, and told where', (_what, params, wrong) => {
    expect(wrongOf('agent', params)).toEqual(wrong);
  });
});

describe('parameters of a document', () => {
  it('get the defaults, and its progress is told', () => {
    const judged = judge('document', { document, prompt: 'p' });
    expect(judged).toMatchObject({
      ok: true,
      stream: true,
      params: { model: 'm', max_tokens: maxTokensDefault, chunk_tokens: 8_000 },
    });
    if (judged.ok) expect(documentParamsSchema.safeParse(judged.params).success).toBe(true);
  });

  it.each([
    ['a good address', { document: { url: 'https://good' }, prompt: 'p' }, []],
    [
      'an address that may not be asked',
      { document: { url: 'http://bad' }, prompt: 'p' },
      ['invalid_request', 'params.document.url'],
    ],
    ['no prompt', { document }, ['invalid_request', 'params.prompt']],
    ['no document', { prompt: 'p' }, ['invalid_request', 'params.document']],
    [
      'parts that never end',
      { document, prompt: 'p', chunk_tokens: 300, overlap_tokens: 300 },
      ['invalid_request', 'params.overlap_tokens'],
    ],
    [
      'a model with a space',
      { document, prompt: 'p', model: 'a b' },
      ['invalid_request', 'params.model'],
    ],
  ])('with %s: %j', (_what, params, wrong) => {
    expect(wrongOf('document', params)).toEqual(wrong);
  });

  it('say what a document has to be', () => {
    const judged = judge('document', { document: { doc: 'x' }, prompt: 'p' });
    const message = expect.stringContaining('must have an id');
    expect(judged).toMatchObject({ refusal: { errors: [{ path: 'params.document', message }] } });
  });

  it('cannot be a prompt alone', () => {
    const judged = judgeParams({ type: 'document', prompt: 'p' }, rules);
    expect(judged).toMatchObject({
      ok: false,
      refusal: { code: 'invalid_request', errors: [{ path: 'prompt' }] },
    });
  });
});
