import { runService } from '@millrace/runtime';

import { readConfig } from './config.ts';
import { submissionBytesMax } from './core/check-tool.ts';
import { ToolRunnerModule } from './tool-runner.module.ts';

await runService({
  name: 'tool-runner',
  config: readConfig,
  module: (config) => ToolRunnerModule.forConfig(config),
  http: { bodyLimit: submissionBytesMax },
});
