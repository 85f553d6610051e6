import { runService } from '@millrace/runtime';
import { obeyFailpoints, setClockWrong } from '@millrace/testing';

import { AgentOrchestratorModule } from './agent-orchestrator.module.ts';
import { readConfig } from './config.ts';

/**
 * agent-orchestrator as a process: `… PREFIX GROUP_PREFIX CLOCK_OFFSETS`. Its topics and groups
 * bear the prefixes; the offsets, with commas between, are how wrong its clock is.
 */
const [kafkaPrefix = '', groupPrefix = '', offsets = '0'] = process.argv.slice(2);
setClockWrong(offsets.split(',').map(Number));

await runService({
  name: 'agent-orchestrator',
  config: readConfig,
  module: (config) => AgentOrchestratorModule.forConfig(config, { kafkaPrefix, groupPrefix }),
});
obeyFailpoints();
