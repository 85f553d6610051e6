import { runService } from '@millrace/runtime';
import { obeyFailpoints } from '@millrace/testing';

import { readConfig } from './config.ts';
import { ToolRunnerModule } from './tool-runner.module.ts';

/**
 * tool-runner as a process: `tool-runner-process.fixture.ts PREFIX CLOCK_STEP_MS GROUP_PREFIX`. Its
 * topics and groups bear the prefixes, and its time of day is off by the step.
 */
const [kafkaPrefix = '', clockStepMs = '0', groupPrefix = ''] = process.argv.slice(2);
const trueNow = Date.now;
Date.now = () => trueNow() + Number(clockStepMs);

await runService({
  name: 'tool-runner',
  config: readConfig,
  module: (config) => ToolRunnerModule.forConfig(config, { kafkaPrefix, groupPrefix }),
});
obeyFailpoints();
