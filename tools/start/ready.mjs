/** What a newcomer needs to go on: URLs, the key, three commands. */
import { join, relative } from 'node:path';

import { bold, dim, print, printHeading } from '../terminal.mjs';

/**
 * @param {import('../stack.mjs').Stack} stack
 * @param {string | undefined} jobId of the sample job
 */
export function printReady(stack, jobId) {
  const { urls, apiKey } = stack;
  printHeading('To go on');
  line('HTTP API', `${urls['api']}  ${dim('/openapi.json /asyncapi.json /healthz /metrics')}`);
  for (const name of stack.replicasOf('ingest').slice(1)) line('', urls[name] ?? '');
  line('Kafka', `${stack.kafkaBroker}  ${dim('jobs.submitted.v1 → jobs.finished.v1')}`);
  line('PostgreSQL', stack.kafkaBroker.replace(/\d+$/, String(stack.ports.postgres)));
  line('Webhooks received', `${urls['receiver']}/received`);
  line('Claude', stack.isStandIn ? `${urls['claude']} ${dim('(stand-in)')}` : 'the real API');
  line('API key', `${apiKey}  ${dim(shown(join(stack.home, 'api-key')))}`);
  line('Logs', shown(join(stack.home, 'logs')));
  print();
  const key = `$(cat ${shown(join(stack.home, 'api-key'))})`;
  print(dim('# hand over a job, and again with the same key: the same job'));
  print(
    `curl -s ${urls['api']}/v1/jobs -H "authorization: Bearer ${key}" \\\n` +
      "  -H 'content-type: application/json' -H 'idempotency-key: first-1' \\\n" +
      `  -d '{"prompt": "What is a mill race?", "callback_url": "${urls['receiver']}/hooks"}'`,
  );
  print(dim(jobId === undefined ? '# all jobs' : '# what became of the job above'));
  const path = jobId === undefined ? '/v1/jobs' : `/v1/jobs/${jobId}`;
  print(`curl -s ${urls['api']}${path} -H "authorization: Bearer ${key}"`);
  print(dim('# an answer as it is written'));
  print(
    `curl -N ${urls['api']}/v1/stream -H "authorization: Bearer ${key}" \\\n` +
      `  -H 'content-type: application/json' -d '{"prompt": "Why does a mill need a race?"}'`,
  );
  print();
  print(
    `${bold('ready')} ${urls['api']}  kafka ${stack.kafkaBroker}  ` +
      `webhooks ${urls['receiver']}/received`,
  );
}

/** @param {string} label @param {string} text */
const line = (label, text) => print(`  ${label.padEnd(18)} ${text}`);

/** @param {string} path as short as it can be given from here */
function shown(path) {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
