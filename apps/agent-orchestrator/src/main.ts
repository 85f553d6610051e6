import { runService } from '@millrace/runtime';

import { AgentOrchestratorModule } from './agent-orchestrator.module.ts';
import { readConfig } from './config.ts';

await runService({
  name: 'agent-orchestrator',
  config: readConfig,
  module: (config) => AgentOrchestratorModule.forConfig(config),
});
