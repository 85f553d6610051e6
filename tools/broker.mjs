/**
 * node tools/broker.mjs ADVERTISED_PORT [PROPERTY=VALUE…]
 *
 * A Kafka that one spec may kill: free ports, data in a temporary folder. Clients are sent to the
 * advertised port, where the spec's proxy listens. It prints its own port once it answers, obeys
 * the lines `kill` (with -9) and `start` by saying `killed` and the port again, and ends with its
 * standard input.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { stopChild } from './stack/child.mjs';
import { prepareKafka, startKafka } from './stack/kafka.mjs';
import { freePorts } from './stack/ports.mjs';

const [advertisedPort, ...properties] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), 'millrace-broker-'));
const ports = await freePorts();
const options = {
  home,
  port: ports.kafka,
  controllerPort: ports.kafkaController,
  advertisedPort: Number(advertisedPort),
  more: properties.map((property) => `${property}\n`).join(''),
  env: process.env,
};
const killing = /** @type {const} */ ({ signal: 'SIGKILL', graceMs: 0 });

await prepareKafka(options);
let broker = await startKafka(options);
console.log(options.port);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'kill') {
    await stopChild(broker, killing);
    console.log('killed');
  }
  if (line === 'start') {
    broker = await startKafka(options);
    console.log(options.port);
  }
}
await stopChild(broker, killing);
rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
