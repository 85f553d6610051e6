/**
 * npm run bench -- NAME [--json FILE] [--short] [--cpu-prof DIR] [--peers]
 * Exit status 0 when everything was measured, whatever the values; rows of peers do not count.
 */
import { parseArgs } from 'node:util';

import { benchAgents } from './agents.mjs';
import { isComplete, printFigures, writeFigures } from './figures.mjs';
import { benchPipeline } from './pipeline.mjs';
import { benchStreams } from './streams.mjs';
import { benchWebhooks } from './webhooks.mjs';

const benches = {
  pipeline: benchPipeline,
  agents: benchAgents,
  webhooks: benchWebhooks,
  streams: benchStreams,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    short: { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
    peers: { type: 'boolean', default: false },
  },
});
const bench = benches[positionals[0] ?? ''];
if (!bench) {
  console.error(`Name a bench: npm run bench -- ${Object.keys(benches).join(' | ')}`);
  process.exit(2);
}
const { short, peers, 'cpu-prof': cpuProf } = values;
const figures = await bench({ short, peers, cpuProf });
printFigures(figures);
writeFigures(values.json, figures);
process.exit(isComplete(figures) ? 0 : 1);
