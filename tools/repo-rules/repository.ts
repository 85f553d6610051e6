import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The repository's folder. */
export const root = resolve(import.meta.dirname, '../..');

const ignored = /(?:^|\/)(?:node_modules|dist|\.nx|\.millrace|coverage)\//;

/** Files of the repository by glob, relative to its folder, without what is built or installed. */
export function findFiles(...patterns: string[]): string[] {
  return globSync(patterns, { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !ignored.test(`${path}/`))
    .sort();
}

/** Every file that is in git or would be added to it. */
export function findTrackedFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    cwd: root,
    encoding: 'utf8',
  });
  return [...new Set(listed.split('\0'))].filter((path) => path !== '').sort();
}

export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}
