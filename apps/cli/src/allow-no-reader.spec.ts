import { PassThrough } from 'node:stream';

import { describe, expect, it } from '@jest/globals';

import { allowNoReader } from './allow-no-reader.ts';

describe('an output', () => {
  const failed = (code: string) => Object.assign(new Error(code), { code });

  it('may lose its reader', () => {
    const output = new PassThrough();
    allowNoReader(output);
    expect(output.emit('error', failed('EPIPE'))).toBe(true);
  });

  it('that fails otherwise ends the command', () => {
    const output = new PassThrough();
    allowNoReader(output);
    expect(() => output.emit('error', failed('ENOSPC'))).toThrow('ENOSPC');
  });
});
