import 'reflect-metadata';

import { runService } from '@millrace/runtime';
import { setClockWrong } from '@millrace/testing';

import { ClaudeWorkerModule } from './claude-worker.module.ts';
import { readConfig } from './config.ts';

/**
 * claude-worker as a process: `worker-process.fixture.ts PREFIX CLOCK_OFFSETS`. The prefix its
 * topics' names bear, and the offsets, with commas between, are how wrong its clock is.
 */
const [prefix = '', offsets = '0'] = process.argv.slice(2);
setClockWrong(offsets.split(',').map(Number));

await runService({
  name: 'claude-worker',
  config: readConfig,
  module: (config) => ClaudeWorkerModule.forConfig(config, { prefix }),
});
