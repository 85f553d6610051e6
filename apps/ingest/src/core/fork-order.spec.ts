import { describe, expect, it } from '@jest/globals';
import {
  forkPromptLengthMax,
  forkSubmissionSchema,
  jobIdSchema,
  workflowRequestedSchema,
  type ForkSubmission,
} from '@millrace/contracts';

import { forkOrder, type ForkSource } from './fork-order.ts';

const rules = { defaultModel: 'm', checkUrl: () => ({ ok: true }) as const };
const createdAt = '2026-11-24T10:00:00.000Z';
const params = {
  model: 'm',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'plan' }],
  tools: ['look'],
};
const request = workflowRequestedSchema.parse({
  tenant: 'default',
  job_id: 'a',
  type: 'agent',
  stream: true,
  tainted: true,
  params,
  budget: { usd: 1 },
  reply: {
    kind: 'job',
    created_at: createdAt,
    callback: { url: 'https://example.com' },
    metadata: { of: 'me' },
  },
});
const source: ForkSource = {
  id: jobIdSchema.parse('a'),
  lane: 'bulk',
  sessionId: null,
  createdAt,
  request,
  params,
};

function forked(fork: object) {
  const given: ForkSubmission = forkSubmissionSchema.parse({ from_step: 0, ...fork });
  return forkOrder(source, given, rules);
}

function orderOf(fork: object) {
  const judged = forked(fork);
  if (!judged.ok) throw new TypeError('refused');
  return judged.order;
}

describe('a fork', () => {
  it('is its source again, and tells no receiver', () => {
    expect(orderOf({ from_step: 4 })).toMatchObject({
      type: 'agent',
      lane: 'bulk',
      stream: true,
      tainted: true,
      params,
      metadata: { of: 'me' },
      budget: { usd: 1 },
      callbackUrl: undefined,
      fork: { workflow_id: 'a', created_at: createdAt, from_step: 4, allow_side_effects: false },
    });
  });

  it('has what is to be otherwise', () => {
    const otherwise = { model: 'other', system: 'be short', tools: ['write'], budget: { usd: 2 } };
    const { params: own, model, budget } = orderOf({ ...otherwise, allow_side_effects: true });
    expect([model, budget]).toEqual(['other', { usd: 2 }]);
    expect(own).toEqual({ ...params, model: 'other', system: 'be short', tools: ['write'] });
  });

  it('says another first message from the beginning on', () => {
    const { fork, params: own } = orderOf({ prompt: 'plan otherwise' });
    expect(own['messages']).toEqual([{ role: 'user', content: 'plan otherwise' }]);
    expect(fork).not.toHaveProperty('prompt');
  });

  it('has the run say more from a later step on', () => {
    const { fork, params: own } = orderOf({ prompt: 'now be brief', from_step: 3 });
    expect(own).toEqual(params);
    expect(fork).toMatchObject({ from_step: 3, prompt: 'now be brief' });
  });

  it('says no more there than travels with its request', () => {
    const prompt = 'x'.repeat(forkPromptLengthMax + 1);
    expect(orderOf({ prompt }).params['messages']).toEqual([{ role: 'user', content: prompt }]);
    expect(forked({ prompt, from_step: 1 })).toMatchObject({
      ok: false,
      refusal: { code: 'invalid_request', errors: [{ path: 'prompt' }] },
    });
  });

  it.each([
    ['a model with a space', { model: 'a b' }, 'refused_by_model'],
    ['a tool twice', { tools: ['a', 'a'] }, 'invalid_request'],
  ])('is judged as any other job: %s', (_what, fork, code) => {
    expect(forked(fork)).toMatchObject({ ok: false, refusal: { code } });
  });

  it('is the same when it is asked for again, whatever its id', () => {
    const hash = (fork: object) => orderOf(fork).requestHash.toString('hex');
    expect(hash({ job_id: 'x' })).toBe(hash({}));
    expect(hash({ from_step: 1 })).not.toBe(hash({}));
    expect(hash({ model: 'other' })).not.toBe(hash({}));
  });
});
