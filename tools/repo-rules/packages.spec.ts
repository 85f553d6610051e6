import { dirname } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { findFiles, readText } from './repository.ts';

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
  readonly nx?: { readonly tags?: readonly string[] };
}

const readManifest = (path: string): Manifest => JSON.parse(readText(path));
const projects = findFiles('{apps,libs}/*/package.json');

/** What the agents' bench is compared with: installed on demand, by its own lock file. */
const peers = 'bench/peers/package.json';

it.each(['package.json', peers, ...projects])('%s pins every version exactly', (path) => {
  const manifest = readManifest(path);
  const loose = Object.entries({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
    ...manifest.overrides,
  }).filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version));
  expect(loose).toEqual([]);
});

it.each(['package-lock.json', 'bench/peers/package-lock.json'])(
  '%s says nothing of where packages were fetched',
  (path) => {
    expect(readText(path)).not.toMatch(/"resolved": "https?:/);
  },
);

it.each(['.npmrc', 'bench/peers/.npmrc'])('%s keeps that out of the lock file', (path) => {
  expect(readText(path)).toContain('omit-lockfile-registry-resolved=true');
});

it("the bench's peers are in its lock file as they are, and nowhere in the repository's", () => {
  const { dependencies = {} } = readManifest(peers);
  const lockOf = (path: string): { packages: Record<string, Manifest> } =>
    JSON.parse(readText(path));
  expect(lockOf('bench/peers/package-lock.json').packages['']?.dependencies).toEqual(dependencies);
  const { packages } = lockOf('package-lock.json');
  const foreign = Object.keys(dependencies).filter((name) => packages[`node_modules/${name}`]);
  expect(foreign).toEqual([]);
});

it.each(projects)('%s is in the lock file as it is', (path) => {
  const lock: { packages: Record<string, Manifest> } = JSON.parse(readText('package-lock.json'));
  // `npm ci` refuses to install when the two differ: run `npm install` after a change.
  expect(lock.packages[dirname(path)]?.dependencies).toEqual(readManifest(path).dependencies);
});

describe.each(projects)('%s', (path) => {
  const manifest = readManifest(path);
  const [group = '', name = ''] = path.split('/');
  const imports = findFiles(`${dirname(path)}/src/**/*.ts`)
    .filter((file) => !/\.(?:spec|fixture)\.ts$/.test(file))
    .flatMap((file) =>
      [...readText(file).matchAll(/from '(@millrace\/[a-z-]+)'/g)].map(([, lib]) => lib ?? ''),
    );

  it('names exactly the libs that its sources import', () => {
    const named = Object.keys(manifest.dependencies ?? {}).filter((each) =>
      each.startsWith('@millrace/'),
    );
    expect(named.sort()).toEqual([...new Set(imports)].sort());
  });

  it('carries the tags that the boundary rule reads', () => {
    expect(manifest.name).toBe(`@millrace/${name}`);
    expect(manifest.nx?.tags).toEqual(
      group === 'apps' ? ['kind:app', `app:${name}`] : ['kind:lib', `lib:${name}`],
    );
  });
});
