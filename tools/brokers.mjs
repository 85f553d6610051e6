/**
 * node tools/brokers.mjs
 *
 * A Kafka of three brokers that a spec may kill one by one, as it is in production: every
 * partition on all of them, and a write counts when two have it. Free ports, data in a
 * temporary folder. It prints the brokers' ports once all answer, obeys the lines `kill N` (with
 * -9) and `start N`, N from 1, by saying so, and ends with its standard input. The first broker is
 * the controller too: to kill it stops all changes of leaders.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { stopChild } from './stack/child.mjs';
import { newClusterId, prepareKafka, startKafka } from './stack/kafka.mjs';
import { freePorts } from './stack/ports.mjs';

const home = mkdtempSync(join(tmpdir(), 'millrace-brokers-'));
const ports = await Promise.all(Array.from({ length: 3 }, () => freePorts()));
const controllerPort = ports[0]?.kafkaController ?? 0;
const clusterId = newClusterId();
const killing = /** @type {const} */ ({ signal: 'SIGKILL', graceMs: 0 });

/** @param {number} node from 1 @param {number} port */
const properties = (node, port) => `\
node.id=${node}
${node === 1 ? '' : `process.roles=broker\nlisteners=BROKER://127.0.0.1:${port}\n`}\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
`;

const brokers = ports.map(({ kafka: port }, i) => ({
  home: join(home, String(i + 1)),
  port,
  controllerPort,
  clusterId,
  more: properties(i + 1, port),
  env: process.env,
}));
for (const broker of brokers) await prepareKafka(broker);
// The others wait for the controller.
const children = await Promise.all(brokers.map((broker) => startKafka(broker)));
console.log(brokers.map(({ port }) => port).join(' '));
for await (const line of createInterface({ input: process.stdin })) {
  const [order, node] = line.split(' ');
  const i = Number(node) - 1;
  const [broker, child] = [brokers[i], children[i]];
  if (broker === undefined || child === undefined) throw new Error(`no broker ${node}`);
  if (order === 'kill') await stopChild(child, killing);
  else children[i] = await startKafka(broker);
  console.log(line);
}
await Promise.all(children.map((child) => stopChild(child, killing)));
rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
