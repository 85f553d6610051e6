import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { ProseWriter } from './prose-writer.mjs';

describe('an answer on the terminal', () => {
  let written = '';
  beforeEach(() => {
    written = '';
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
      written += String(text);
      return true;
    });
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('wraps at words, however the text is cut into pieces', () => {
    const text = 'word '.repeat(40).trim();
    const writer = new ProseWriter('> ');
    for (const piece of text.match(/.{1,3}/g) ?? []) writer.write(piece);
    writer.end();
    const lines = written.trimEnd().split('\n');
    expect(lines.every((line) => line.length <= 96 && line === line.trimEnd())).toBe(true);
    expect(lines.map((line) => line.slice(2)).join(' ')).toBe(text);
  });

  it('keeps the line breaks of the text', () => {
    const writer = new ProseWriter('> ');
    writer.write('one\n\n- t');
    writer.write('wo\n');
    writer.end();
    expect(written).toBe('> one\n> \n> - two\n> \n');
  });
});
