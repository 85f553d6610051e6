/**
 * npm run bench -- NAME [--json FILE] [--short] [--cpu-prof DIR]
 * Exit status 0 when everything was measured, whatever the values.
 */
import { parseArgs } from 'node:util';

import { benchAgents } from './agents.mjs';
import { printFigures, writeFigures } from './figures.mjs';
import { benchPipeline } from './pipeline.mjs';

const benches = { pipeline: benchPipeline, agents: benchAgents };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    short: { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
  },
});
const bench = benches[positionals[0] ?? ''];
if (!bench) {
  console.error(`Name a bench: npm run bench -- ${Object.keys(benches).join(' | ')}`);
  process.exit(2);
}
const figures = await bench({ short: values.short, cpuProf: values['cpu-prof'] });
printFigures(figures);
writeFigures(values.json, figures);
process.exit(figures.some((row) => row.value === null) ? 1 : 0);
