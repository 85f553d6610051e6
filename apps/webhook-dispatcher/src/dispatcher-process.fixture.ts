import { runService } from '@millrace/runtime';

import { readConfig } from './config.ts';
import { WebhookDispatcherModule } from './webhook-dispatcher.module.ts';

/** webhook-dispatcher as a process: `dispatcher-process.fixture.ts PREFIX`, which topics bear. */
const [kafkaPrefix = ''] = process.argv.slice(2);

await runService({
  name: 'webhook-dispatcher',
  config: readConfig,
  module: (config) => WebhookDispatcherModule.forConfig(config, { kafkaPrefix }),
});
