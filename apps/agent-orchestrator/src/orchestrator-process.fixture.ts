import { runService } from '@millrace/runtime';

import { AgentOrchestratorModule } from './agent-orchestrator.module.ts';
import { readConfig } from './config.ts';

/** agent-orchestrator as a process: `… PREFIX GROUP_PREFIX`, which its topics and groups bear. */
const [kafkaPrefix = '', groupPrefix = ''] = process.argv.slice(2);

await runService({
  name: 'agent-orchestrator',
  config: readConfig,
  module: (config) => AgentOrchestratorModule.forConfig(config, { kafkaPrefix, groupPrefix }),
});
