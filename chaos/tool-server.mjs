/**
 * The story's server of tools, and its receiver of webhooks (labelled fakes: the far edge), in a
 * process of its own so that nobody's load delays its record. It answers after a while with what it
 * was asked, and tells all that it was sent.
 *
 * node chaos/tool-server.mjs SEED ANSWER_MS_MAX
 */
import { createServer } from 'node:http';

import { seededRandom } from './seeded-random.ts';
import { SendRecord } from './send-record.mjs';

const [seed = '1', answerMsMax = '1000'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const record = new SendRecord();
const webhooks = [];

const server = createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (text += chunk));
  request.on('end', () => {
    const body = JSON.parse(text);
    if (request.url === '/webhook') takeWebhook(request, body, response);
    else takeCall(request, body, response);
  });
});

function takeWebhook(request, body, response) {
  const { headers } = request;
  webhooks.push({ jobId: body.job_id, id: String(headers['webhook-id']), type: 'webhook' });
  response.statusCode = 204;
  response.end();
}

function takeCall(request, body, response) {
  const idempotencyKey = String(request.headers['idempotency-key']);
  record.add({ request, response, facts: { callId: body.call_id, idempotencyKey } });
  setTimeout(() => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ saw: body.arguments }));
  }, random() * Number(answerMsMax));
}

record.watch(server);
server.keepAliveTimeout = 60_000;
process.on('message', () => process.send({ sends: record.sends, webhooks }));
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
