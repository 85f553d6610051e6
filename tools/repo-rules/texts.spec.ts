import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { findFiles, findTrackedFiles, readText, root } from './repository.ts';

const texts = findTrackedFiles().filter(
  (path) =>
    /\.(?:ts|mjs|json|md|ya?ml|sql|sh|txt)$|(?:^|\/)(?:Dockerfile|run|\.[a-z]+)$/.test(path) &&
    path !== 'tools/repo-rules/texts.spec.ts' &&
    existsSync(join(root, path)),
);

const forbidden = [
  ['a path of somebody’s machine', /(?<![\w.:/])\/(?:home|root|Users|work)\/[a-z]/],
  ['the address of a package registry', /\bregistry\.[a-z]+\.[a-z]+|\bartifactory\b|\bverdaccio\b/i],
  ['a mark of unfinished work', /\b(?:TODO|FIXME|XXX|HACK)\b/],
  ['a focused test', /\b(?:it|describe|test)\.only\(/],
  ['a comment that turns a check off', /@ts-(?:ignore|nocheck|expect-error)|eslint-disable/],
] as const;

describe.each(forbidden)('%s', (_what, pattern) => {
  it('is in no file', () => {
    const found = texts
      .filter((path) => !(path.endsWith('bad-files.spec.ts') || path === 'package-lock.json'))
      .flatMap((path) =>
        readText(path)
          .split('\n')
          .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
      );
    expect(found).toEqual([]);
  });
});

const headings = [
  'What it does',
  'What comes in and goes out',
  'What can go wrong',
  'How to run it',
];

const folders = findFiles('{apps,libs}/*/package.json').map((path) => dirname(path));

describe.each(folders)('%s', (folder) => {
  it('has a README with the four headings, in order', () => {
    const readme = join(folder, 'README.md');
    const text = existsSync(join(root, readme)) ? readText(readme) : '';
    const found = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading?.trim());
    expect(found.map((heading) => heading?.toLowerCase())).toEqual(
      headings.map((heading) => heading.toLowerCase()),
    );
  });
});

const documents = texts.filter((path) => path.endsWith('.md'));

/** GitHub's anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

function brokenLinks(path: string): string[] {
  const text = readText(path).replaceAll(/```[\s\S]*?```/g, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? '');
  return links.filter((link) => {
    if (/^(?:https?|mailto):/.test(link)) return false;
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? path : normalize(join(dirname(path), file));
    if (!existsSync(join(root, target))) return true;
    if (anchor === undefined) return false;
    const anchors = [...readText(target).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      anchorOf(heading ?? ''),
    );
    return !anchors.includes(anchor);
  });
}

describe('links between documents', () => {
  it.each(documents)('%s links to what exists', (path) => {
    expect(brokenLinks(path)).toEqual([]);
  });
});

it('every script of npm that a document names exists', () => {
  const scripts = Object.keys(JSON.parse(readText('package.json')).scripts);
  const named = documents.flatMap((path) =>
    [...readText(path).matchAll(/npm run (?:--silent )?([a-z:-]+)/g)].map(([, script]) => `${path}: ${script}`),
  );
  expect(named.filter((name) => !scripts.includes(name.split(': ')[1] ?? ''))).toEqual([]);
});
