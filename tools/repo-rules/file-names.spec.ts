import { basename } from 'node:path';

import { expect, it } from '@jest/globals';

import { findFiles } from './repository.ts';

const sources = findFiles('{apps,libs,tools,bench,chaos,e2e,deploy}/**/*.{ts,mjs}');
/** Names that say where a thing lies and not what it is. */
const sayNothing =
  /(?:^|[-./])(?:utils?|helpers?|common|shared|generic|base|managers?|misc|v2)(?:[-./]|$)/;

it('every source file is named in kebab-case', () => {
  const odd = sources.filter(
    (path) => !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9-]+)*\.(?:ts|mjs)$/.test(basename(path)),
  );
  expect({ 'rename to kebab-case': odd }).toEqual({ 'rename to kebab-case': [] });
});

it('every source file is named after what it exports', () => {
  const vague = sources.filter((path) => sayNothing.test(path));
  expect({ 'name it after what it exports': vague }).toEqual({
    'name it after what it exports': [],
  });
});

it('a spec stands beside what it specifies, or names a behaviour of its folder', () => {
  const misplaced = sources.filter((path) => /\/(?:__tests__|tests?|specs?)\//.test(path));
  expect({ 'move it beside its subject': misplaced }).toEqual({ 'move it beside its subject': [] });
});
