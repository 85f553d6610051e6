import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { askGroups } from './ask-groups.ts';

const ask = fc.record({
  tenant: fc.constantFrom('a', 'b'),
  names: fc.uniqueArray(fc.constantFrom('v', 'w', 'x', 'y', 'z')),
});

function toolsOf(group: readonly { readonly tenant: string; readonly names: readonly string[] }[]) {
  return new Set(group.flatMap(({ names, tenant }) => names.map((name) => `${tenant}/${name}`)));
}

describe('groups of asks', () => {
  it('are all asks in their order, few tools in each, and none could take the next ask', () => {
    fc.assert(
      fc.property(fc.array(ask), fc.integer({ min: 1, max: 8 }), (asks, toolsMax) => {
        const groups = askGroups(asks, toolsMax);
        expect(groups.flat()).toEqual(asks);
        groups.forEach((group, i) => {
          if (group.length > 1) expect(toolsOf(group).size).toBeLessThanOrEqual(toolsMax);
          const next = groups[i + 1]?.[0];
          if (next !== undefined) expect(toolsOf([...group, next]).size).toBeGreaterThan(toolsMax);
        });
      }),
    );
  });

  it('are one for many runs of the same tools', () => {
    const asks = Array.from({ length: 500 }, () => ({ tenant: 'a', names: ['look', 'pay'] }));
    expect(askGroups(asks, 2)).toEqual([asks]);
  });
});
