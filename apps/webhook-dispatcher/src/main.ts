import { runService } from '@millrace/runtime';

import { readConfig } from './config.ts';
import { WebhookDispatcherModule } from './webhook-dispatcher.module.ts';

await runService({
  name: 'webhook-dispatcher',
  config: readConfig,
  module: (config) => WebhookDispatcherModule.forConfig(config),
});
