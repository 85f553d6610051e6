import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');

/** Names of the failpoints in the sources of these folders, in order. */
export function failpointsIn(folders: readonly string[]): string[] {
  const names = new Set<string>();
  for (const folder of folders) {
    for (const file of globSync(join(root, folder, '**/*.ts'))) {
      if (file.endsWith('.spec.ts')) continue;
      const text = readFileSync(file, 'utf8');
      for (const [, name] of text.matchAll(/await failpoint\('([^']+)'\)/g)) names.add(name ?? '');
    }
  }
  return [...names].sort();
}
