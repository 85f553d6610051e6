import { runService } from '@millrace/runtime';

import { readConfig } from './config.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';

await runService({
  name: 'ingest',
  config: readConfig,
  module: (config) => IngestModule.forConfig(config),
  http: httpOptions,
});
