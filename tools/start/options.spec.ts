import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from '@jest/globals';

import { parseOptions } from './options.mjs';

const folder = mkdtempSync(join(tmpdir(), 'millrace-options-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(content: Buffer | string): string {
  const path = join(folder, 'given.txt');
  writeFileSync(path, content);
  return path;
}

describe('the command line of npm start', () => {
  it('starts with the shipped document by default', () => {
    const options = parseOptions([]);
    expect(options).toMatchObject({ command: 'start', once: false, reset: false });
    expect(options.document?.text).toContain('# The Mill on the Race');
  });

  it('does no job with --no-sample, nor when developing', () => {
    expect(parseOptions(['--no-sample']).document).toBeUndefined();
    expect(parseOptions(['dev']).document).toBeUndefined();
  });

  it.each([
    ['is not there', () => join(folder, 'nowhere.txt'), /there is no such file/],
    ['is a folder', () => folder, /not a file/],
    ['is larger than 200 KB', () => fileOf('a'.repeat(200 * 1024 + 1)), /too large/],
    ['is not UTF-8', () => fileOf(Buffer.from([0x61, 0xff, 0x62])), /not UTF-8/],
    ['is binary', () => fileOf('a\0b'), /binary/],
    ['is empty', () => fileOf(' \n'), /no text/],
  ])('refuses a --file that %s', (_what, make, message) => {
    expect(() => parseOptions(['--file', make()])).toThrow(message);
  });

  it('takes a --file of exactly 200 KB', () => {
    const path = fileOf('é'.repeat(100 * 1024));
    expect(parseOptions(['--file', path]).document?.text).toHaveLength(100 * 1024);
  });

  it('starts one process of each service, or as many as it is told', () => {
    expect(parseOptions([]).replicas).toBe(1);
    expect(parseOptions(['--replicas', '2']).replicas).toBe(2);
  });

  it.each(['0', '9', '1.5', 'two', ''])('refuses %j replicas', (given) => {
    expect(() => parseOptions(['--replicas', given])).toThrow(/--replicas is .*from 1 to 8/);
  });

  it('names what it does not know', () => {
    expect(() => parseOptions(['--fiel', 'x'])).toThrow(/--fiel/);
    expect(() => parseOptions(['begin'])).toThrow(/no command "begin"/);
    expect(() => parseOptions(['--once', '--no-sample'])).toThrow(/--once/);
  });
});
