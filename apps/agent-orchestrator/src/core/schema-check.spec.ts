import { describe, expect, it } from '@jest/globals';

import { schemaErrors } from './schema-check.ts';

describe('a schema', () => {
  const point = {
    type: 'object',
    properties: {
      x: { type: 'integer' },
      tag: { enum: ['a', 'b'] },
      name: { pattern: '^[a-z]+$' },
    },
    required: ['x'],
    additionalProperties: false,
  };

  it.each<[string, object, unknown, boolean]>([
    ['what is right', point, { x: 1, tag: 'a', name: 'abc' }, true],
    ['a missing field', point, {}, false],
    ['a wrong type', point, { x: 1.5 }, false],
    ['a value that is not listed', point, { x: 1, tag: 'c' }, false],
    ['a pattern', point, { x: 1, name: 'A' }, false],
    ['a field too many', point, { x: 1, y: 1 }, false],
    ['no object', point, 'x', false],
    ['a reference', { $defs: { p: point }, items: { $ref: '#/$defs/p' } }, [{ x: 'a' }], false],
    ['a tuple', { prefixItems: [{ type: 'string' }] }, [1], false],
    ['one of several', { anyOf: [{ type: 'string' }, { type: 'null' }] }, null, true],
    ['none of several', { oneOf: [{ type: 'string' }, { type: 'null' }] }, 1, false],
    ['a condition', { if: { const: 1 }, then: { const: 2 } }, 1, false],
    ['keys by pattern', { patternProperties: { '^n_': { type: 'number' } } }, { n_a: 'x' }, false],
    ['other keys', { patternProperties: { '^n_': { type: 'number' } } }, { s: 'x' }, true],
    ['a format, which says nothing', { format: 'email' }, 'no address', true],
    ['an older draft', { $schema: 'http://json-schema.org/draft-07/schema#', type: 'null' }, 1, false],
    ['everything', {}, { any: 'thing' }, true],
  ])('of %s', (_what, schema, value, fits) => {
    expect(schemaErrors(schema, value).length === 0).toBe(fits);
  });

  it('says what is wrong and where, five things at most', () => {
    expect(schemaErrors(point, { x: 'a' })).toEqual([expect.stringContaining('#/x')]);
    const many = { items: { type: 'string' } };
    expect(schemaErrors(many, Array.from({ length: 50 }, (_, n) => n))).toHaveLength(5);
  });

  it.each([
    ['(a+)+$', `${'a'.repeat(50_000)}!`],
    ['^(a|aa)+$', `${'a'.repeat(50_000)}!`],
    ['\\s+\\s+x', ' '.repeat(50_000)],
  ])('with the pattern %s is checked in no time', (pattern, text) => {
    const before = process.cpuUsage();
    expect(schemaErrors({ type: 'string', pattern }, text)).toHaveLength(1);
    const byKey = { patternProperties: { [pattern]: false } };
    expect(schemaErrors(byKey, { [text]: 1 })).toEqual([]);
    // A matcher that goes back would take years.
    expect(process.cpuUsage(before).user).toBeLessThan(5_000_000);
  });

  it.each([
    ['a pattern that is none', { pattern: '(' }],
    ['a pattern that looks behind', { pattern: '(?<=a)b' }],
    ['itself for ever', { $ref: '#' }],
  ])('that is %s accepts nothing', (_what, schema) => {
    expect(schemaErrors(schema, 'x')).toEqual(['the schema itself cannot be used']);
  });

  it('does not reach for prototypes', () => {
    const value: unknown = JSON.parse('{"__proto__": {"x": 1}}');
    expect(schemaErrors({ ...point, required: [] }, value).length).toBeGreaterThan(0);
    expect(schemaErrors({ required: ['toString'] }, {}).length).toBeGreaterThan(0);
  });
});
