/**
 * The story's receiver of webhooks (a labelled fake: the far edge), in a process of its own so that
 * nobody's load delays its record. It answers after a while, so that kills find POSTs under way, at
 * once when it is told to hurry, and tells all that it was sent.
 *
 * node chaos/webhook-receiver.mjs SEED ANSWER_MS_MAX
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

import { seededRandom } from './seeded-random.ts';
import { SendRecord } from './send-record.mjs';

const [seed = '1', answerMsMax = '1000'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const record = new SendRecord();
let hurries = false;

const server = createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (text += chunk));
  request.on('end', () => {
    record.add({ request, response, facts: factsOf(request, text) });
    setTimeout(() => response.end(), hurries ? 0 : random() * Number(answerMsMax));
  });
});

function factsOf({ headers, url }, text) {
  const told = JSON.parse(text);
  const job = told.job_id ?? told.data.job_id;
  return {
    callId: `${url} ${job}`,
    webhookId: String(headers['webhook-id']),
    digest: createHash('sha256').update(text).digest('base64url'),
  };
}

record.watch(server);
server.keepAliveTimeout = 60_000;
process.on('message', (ask) => {
  if (ask === 'hurry') hurries = true;
  process.send({ sends: ask === 'tell' ? record.sends : [] });
});
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
