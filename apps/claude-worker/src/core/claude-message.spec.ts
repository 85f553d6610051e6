import { describe, expect, it } from '@jest/globals';
import { usageSchema } from '@millrace/contracts';

import { usageOf } from './claude-message.ts';

function usageWith(usage: unknown) {
  return usageOf({ content: [], stop_reason: 'end_turn', usage });
}

describe('the usage of an answer', () => {
  it('keeps what it reports, as far as it can be counted', () => {
    const counted = {
      input_tokens: 1,
      output_tokens: 2,
      cache_creation_input_tokens: null,
      cache_read_input_tokens: 3,
      service_tier: 'standard',
      cache_creation: { ephemeral_5m_input_tokens: 0 },
    };
    expect(usageWith(counted)).toEqual(counted);
    expect(usageWith({ ...counted, cache_read_input_tokens: -1 })).not.toHaveProperty(
      'cache_read_input_tokens',
    );
  });

  it.each([
    { cache_creation_input_tokens: 1.5 },
    { cache_read_input_tokens: '3' },
    { cache_read_input_tokens: 2 ** 60 },
  ])('fits the contract with %j', (field) => {
    const usage = usageWith({ input_tokens: 1, output_tokens: 2, ...field });
    expect(usage).toEqual({ input_tokens: 1, output_tokens: 2 });
    expect(usageSchema.safeParse(usage).success).toBe(true);
  });

  it('leaves out what is nested too deep to travel', () => {
    const deep = JSON.parse('['.repeat(70) + ']'.repeat(70));
    expect(usageWith({ input_tokens: 1, output_tokens: 2, deep })).toEqual({
      input_tokens: 1,
      output_tokens: 2,
    });
  });

  it('is none without the two counts', () => {
    expect(usageWith({ input_tokens: 1 })).toBeUndefined();
    expect(usageWith({ input_tokens: 2 ** 60, output_tokens: 2 })).toBeUndefined();
    expect(usageWith(null)).toBeUndefined();
  });
});
