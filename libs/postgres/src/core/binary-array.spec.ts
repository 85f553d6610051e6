import { describe, expect, it } from '@jest/globals';

import { binaryArray } from './binary-array.ts';

/** Bytes as `array_send` of Postgres 18 writes them, in hexadecimal. */
describe('binaryArray', () => {
  it.each([
    ['int', [], '00000000' + '00000000' + '00000017'],
    [
      'int',
      [7, null],
      '00000001' + '00000001' + '00000017' + '00000002' + '00000001' +
        '00000004' + '00000007' + 'ffffffff',
    ],
    [
      'text',
      ['é'],
      '00000001' + '00000000' + '00000019' + '00000001' + '00000001' + '00000002' + 'c3a9',
    ],
    [
      'jsonb',
      ['1'],
      '00000001' + '00000000' + '00000eda' + '00000001' + '00000001' + '00000002' + '0131',
    ],
    [
      'timestamptz',
      [new Date('2000-01-01T00:00:00.001Z')],
      '00000001' + '00000000' + '000004a0' + '00000001' + '00000001' +
        '00000008' + '00000000000003e8',
    ],
  ] as const)('writes %s arrays: %j', (type, values, expected) => {
    expect(binaryArray(type, values)?.toString('hex')).toBe(expected);
  });

  it.each([
    ['int', [1, 2 ** 31]],
    ['int', ['1']],
    ['smallint', [-32_769]],
    ['boolean', ['true']],
    ['bytea', ['text']],
    ['timestamptz', ['someday']],
  ] as const)('does not write %s arrays of %j', (type, values) => {
    expect(binaryArray(type, values)).toBeNull();
  });
});
