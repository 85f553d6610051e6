/**
 * A receiver of webhooks beside a local stack (`npm start`), on Node's own server:
 *
 *   node examples/webhook-receiver/main.mjs
 *
 * It verifies each webhook by the secret in `.millrace/webhook-secret`, drops copies, and prints
 * what is left. With Express the same handler is `app.post('/hooks', receive)`.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { expressWebhook, MemoryProcessedWebhooks } from '@millrace/sdk/webhooks';

const port = Number(process.env.PORT ?? 8092);
const secretFile = join(import.meta.dirname, '../../.millrace/webhook-secret');

const receive = expressWebhook({
  secret: process.env.WEBHOOK_SECRET ?? readFileSync(secretFile, 'utf8').trim(),
  processed: new MemoryProcessedWebhooks(),
  handler: ({ id, attempt, payload }) => {
    console.log(JSON.stringify({ webhook_id: id, attempt, payload }));
  },
});

const server = createServer((request, response) => {
  receive(request, response, (error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(port, '127.0.0.1', () => console.log(`receiving on http://127.0.0.1:${port}/`));
