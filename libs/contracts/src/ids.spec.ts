import { describe, expect, it } from '@jest/globals';

import { jobIdSchema, sessionIdSchema, tenantIdSchema } from './ids.ts';
import { jobIdLengthMax } from './limits.ts';

describe('ids', () => {
  it.each(['a', 'A-b_c.d:e', '0', 'x'.repeat(jobIdLengthMax)])('takes %j as a job id', (id) => {
    expect(jobIdSchema.safeParse(id).success).toBe(true);
    expect(sessionIdSchema.safeParse(id).success).toBe(true);
  });

  it.each(['', ' a', 'a/b', 'ä', 'a\n', 'x'.repeat(jobIdLengthMax + 1), 7, null])(
    'refuses %j as a job id',
    (id) => {
      expect(jobIdSchema.safeParse(id).success).toBe(false);
      expect(sessionIdSchema.safeParse(id).success).toBe(false);
    },
  );

  it.each([
    ['default', true],
    ['a-1', true],
    ['-a', false],
    ['A', false],
    ['a.b', false],
    ['x'.repeat(64), false],
  ])('says of %j as a tenant: %j', (id, good) => {
    expect(tenantIdSchema.safeParse(id).success).toBe(good);
  });

  it('says in words what a tenant may be called', () => {
    const [issue] = tenantIdSchema.safeParse('A b').error?.issues ?? [];
    expect(issue?.message).toBe('must be 1 to 63 characters of a-z 0-9 -, the first no -');
  });
});
