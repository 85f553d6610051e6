import { describe, expect, it } from '@jest/globals';

import { innerToolName, parseToolName, toolNameError } from './tool-name.ts';

describe('a name', () => {
  it.each([
    ['add', 'add', null],
    ['server__add', 'server', 'add'],
    ['server__add__more', 'server', 'add__more'],
    ['server___add', 'server', '_add'],
  ])('%s leads to %s and its %p', (name, registered, inner) => {
    expect(parseToolName(name)).toEqual({ registered, inner });
  });

  it.each(['a__b', 'a_', '1a', '', 'a b', 'a'.repeat(65)])('%p is not registered', (name) => {
    expect(toolNameError(name)).toEqual(expect.any(String));
  });

  it('of a server’s tool leads back to it', () => {
    expect(parseToolName(innerToolName('server', '_a') ?? '')).toEqual({
      registered: 'server',
      inner: '_a',
    });
    expect(innerToolName('server', 'a.b')).toBeNull();
    expect(innerToolName('server', 'a'.repeat(64))).toBeNull();
  });
});
