import { describe, expect, it } from '@jest/globals';

import { instantOf, typedMomentSchema } from './moment.ts';

const now = new Date('2030-01-31T12:00:00.000Z');

describe('a moment that is typed', () => {
  it.each([
    ['90s', '2030-01-31T11:58:30.000Z'],
    ['30m', '2030-01-31T11:30:00.000Z'],
    ['2h', '2030-01-31T10:00:00.000Z'],
    ['3d', '2030-01-28T12:00:00.000Z'],
    ['2030-01-02T03:04:05Z', '2030-01-02T03:04:05Z'],
    ['2030-01-02T03:04:05+02:00', '2030-01-02T03:04:05+02:00'],
  ])('%s is %s', (typed, instant) => {
    expect(instantOf(typedMomentSchema.parse(typed), now)).toBe(instant);
  });

  it.each(['', '2', 'h', '-2h', '2w', 'yesterday', '2030-01-02', '1234567h'])(
    '%p is none',
    (typed) => {
      expect(typedMomentSchema.safeParse(typed).success).toBe(false);
    },
  );
});
