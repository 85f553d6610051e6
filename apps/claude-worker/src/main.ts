import { runService } from '@millrace/runtime';

import { ClaudeWorkerModule } from './claude-worker.module.ts';
import { readConfig } from './config.ts';

await runService({
  name: 'claude-worker',
  config: readConfig,
  module: (config) => ClaudeWorkerModule.forConfig(config),
});
