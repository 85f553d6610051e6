import 'reflect-metadata';

import { runService } from '@millrace/runtime';

import { ClaudeWorkerModule } from './claude-worker.module.ts';
import { readConfig } from './config.ts';

/** claude-worker as a process: `worker-process.fixture.ts PREFIX`, which its topics' names bear. */
const [prefix = ''] = process.argv.slice(2);

await runService({
  name: 'claude-worker',
  config: readConfig,
  module: (config) => ClaudeWorkerModule.forConfig(config, { prefix }),
});
