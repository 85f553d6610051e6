/** node tools/build.mjs [FOLDER…]: builds these projects, or all. */
import { resolve } from 'node:path';

import { build, listProjects } from './setup/build.mjs';
import { print } from './terminal.mjs';

const folders = process.argv.slice(2).map((folder) => resolve(folder));
const projects = listProjects().filter(
  ({ folder }) => folders.length === 0 || folders.includes(folder),
);
const { built } = await build(projects);
print(`${projects.length} projects, ${built} files built`);
