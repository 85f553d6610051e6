/**
 * npm run chaos -- STORY [--kills N] [--jobs N] [--seed S] [--json FILE]
 * Exit status 0 when everything was measured, whatever the values.
 */
import { parseArgs } from 'node:util';

import { printFigures, writeFigures } from '../bench/figures.mjs';
import { agentsChaos } from './agents.ts';
import { webhooksChaos } from './webhooks.ts';

const stories = { agents: agentsChaos, webhooks: webhooksChaos };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string' },
    jobs: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'string' },
  },
});
const story = stories[positionals[0] ?? ''];
const given = Object.fromEntries(
  ['kills', 'jobs', 'seed'].flatMap((name) =>
    values[name] === undefined ? [] : [[name, Number(values[name])]],
  ),
);
const isBad = Object.values(given).some((n) => !Number.isSafeInteger(n) || n < 0);
if (!story || isBad) {
  console.error(`npm run chaos -- ${Object.keys(stories).join(' | ')} [--kills N] [--jobs N]`);
  process.exit(2);
}
const figures = await story(given);
printFigures(figures);
writeFigures(values.json, figures);
process.exit(figures.some((row) => row.value === null) ? 1 : 0);
