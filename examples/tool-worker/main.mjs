/**
 * A worker for one tool of the tenant `default`, beside a local stack (`npm start`):
 *
 *   node examples/tool-worker/main.mjs
 *
 * It registers the tool, with the key in `.millrace/api-key`, and serves it until it is stopped.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { defineTool, runToolWorker } from '@millrace/sdk';
import { z } from 'zod';

const wordCount = defineTool({
  name: 'word-count',
  description: 'Counts the words of a text',
  effect: 'read',
  input: z.object({ text: z.string() }),
  run: ({ text }) => ({ words: text.split(/\s+/).filter((word) => word !== '').length }),
});

const api = process.env.MILLRACE_URL ?? 'http://127.0.0.1:8080';
const brokers = process.env.KAFKA_BROKERS ?? '127.0.0.1:9092';
const keyFile = join(import.meta.dirname, '../../.millrace/api-key');
const key = process.env.MILLRACE_API_KEY ?? readFileSync(keyFile, 'utf8').trim();

const answer = await fetch(`${api}/v1/tools/${wordCount.name}`, {
  method: 'PUT',
  headers: {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
  },
  body: JSON.stringify(wordCount.submission),
});
if (!answer.ok) throw new Error(`the tool was not registered: ${await answer.text()}`);

const worker = await runToolWorker({
  kafka: { brokers: brokers.split(',') },
  groupId: 'word-count-workers',
  tools: [wordCount],
  onError: (error) => console.error(error),
});
console.log(`serving ${wordCount.name}`);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void worker.stop());
