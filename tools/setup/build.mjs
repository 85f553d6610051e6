/**
 * Builds every project by SWC: `<project>/src/**.ts` → `<project>/dist/**.js`, file by file, and
 * only what changed since the last build.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';

import { repoRoot } from '../paths.mjs';
import { StackError } from '../stack/stack-error.mjs';
import { swcBuildOptions } from '../swc-options.mjs';

/**
 * @typedef {{ name: string, kind: 'app' | 'lib', folder: string }} Project
 * @typedef {{ projects: number, built: number, changed: Project[] }} BuildResult
 */

/** @returns {Project[]} every app and lib that has sources */
export function listProjects() {
  return /** @type {const} */ (['libs', 'apps']).flatMap((group) =>
    readdirSync(join(repoRoot, group), { withFileTypes: true })
      .filter((entry) => existsSync(join(repoRoot, group, entry.name, 'src')))
      .map((entry) => ({
        name: entry.name,
        kind: group === 'apps' ? /** @type {const} */ ('app') : /** @type {const} */ ('lib'),
        folder: join(repoRoot, group, entry.name),
      })),
  );
}

/**
 * @param {readonly Project[]} [projects]
 * @returns {Promise<BuildResult>} `changed`: the projects of which anything was built
 */
export async function build(projects = listProjects()) {
  const results = await Promise.all(projects.map(buildProject));
  return {
    projects: projects.length,
    built: results.reduce((sum, count) => sum + count, 0),
    changed: projects.filter((_, index) => results[index] !== 0),
  };
}

/**
 * The record of the last build says which source (by size and time of change) each output came
 * from, so that a build with nothing to do reads no source at all.
 * @param {Project} project
 * @returns {Promise<number>} files written or removed
 */
async function buildProject({ folder }) {
  const dist = join(folder, 'dist');
  const recordFile = join(dist, '.build.json');
  const before = readRecord(recordFile);
  /** @type {Record<string, string>} */
  const after = {};
  /** @type {Promise<void>[]} */
  const work = [];
  for (const source of listSources(join(folder, 'src'))) {
    const path = relative(join(folder, 'src'), source);
    const { size, mtimeMs } = statSync(source);
    after[path] = `${size} ${mtimeMs}`;
    const output = join(dist, outputOf(path));
    if (before[path] !== after[path] || !existsSync(output)) work.push(compile(source, output));
  }
  const gone = Object.keys(before).filter((path) => after[path] === undefined);
  for (const path of gone) {
    rmSync(join(dist, outputOf(path)), { force: true });
    rmSync(join(dist, `${outputOf(path)}.map`), { force: true });
  }
  if (work.length === 0 && gone.length === 0) return 0;
  // The record goes first: a build that is interrupted starts over.
  rmSync(recordFile, { force: true });
  await Promise.all(work);
  mkdirSync(dist, { recursive: true });
  writeFileSync(recordFile, JSON.stringify({ options: optionsHash, files: after }));
  return work.length + gone.length;
}

/**
 * @param {string} source
 * @param {string} output
 */
async function compile(source, output) {
  mkdirSync(dirname(output), { recursive: true });
  if (!source.endsWith('.ts')) return writeFileSync(output, readFileSync(source));
  const { transformFile } = await import('@swc/core');
  try {
    const { code, map } = await transformFile(source, {
      .../** @type {import('@swc/core').Options} */ (swcBuildOptions),
      sourceFileName: relative(dirname(output), source),
    });
    const name = output.slice(dirname(output).length + 1);
    writeFileSync(output, `${code}\n//# sourceMappingURL=${name}.map\n`);
    if (map !== undefined) writeFileSync(`${output}.map`, map);
  } catch (cause) {
    const log = cause instanceof Error ? cause.message : String(cause);
    throw new StackError(`${relative(repoRoot, source)} could not be built.`, { cause, log });
  }
}

const optionsHash = createHash('sha256').update(JSON.stringify(swcBuildOptions)).digest('hex');

/** @param {string} file @returns {Record<string, string>} */
function readRecord(file) {
  if (!existsSync(file)) return {};
  const { options, files } = JSON.parse(readFileSync(file, 'utf8'));
  return options === optionsHash ? files : {};
}

/** @param {string} folder @returns {string[]} what ships: no specs, no type declarations */
function listSources(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !/\.spec\.ts$|\.d\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** @param {string} path */
const outputOf = (path) => path.replace(/\.ts$/, '.js');
