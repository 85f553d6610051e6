import { runService } from '@millrace/runtime';

import { readConfig } from './config.ts';
import { ToolRunnerModule } from './tool-runner.module.ts';

/** tool-runner as a process: `tool-runner-process.fixture.ts PREFIX`, which its topics bear. */
const [kafkaPrefix = ''] = process.argv.slice(2);

await runService({
  name: 'tool-runner',
  config: readConfig,
  module: (config) => ToolRunnerModule.forConfig(config, { kafkaPrefix }),
});
