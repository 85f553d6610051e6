import { runToolWorker } from '@millrace/sdk';
import { logLevel } from 'kafkajs';

import { stampTool } from './stamp-tool.ts';

/** A tenant's own worker as a process: `stamp-worker.ts BROKER TENANT GROUP WORKER SERVER`. */
const [broker = '', tenant = '', groupId = '', worker = '', server = ''] = process.argv.slice(2);

await runToolWorker({
  kafka: { brokers: [broker], logLevel: logLevel.NOTHING },
  tenant,
  groupId,
  tools: [stampTool({ worker, server })],
});
