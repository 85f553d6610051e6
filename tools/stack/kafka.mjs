/** Apache Kafka as one process: broker and controller (KRaft), data below the stack's home. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { kafkaLibsFolder } from '../paths.mjs';
import { runCommand } from '../setup/run-command.mjs';
import { startChild } from './child.mjs';
import { StackError } from './stack-error.mjs';
import { readFrom, until } from './wait.mjs';

/** Enough for thousands of records a second here; 0.4 GB resident. */
const heap = ['-Xms256m', '-Xmx512m'];
/**
 * Without the JVM's second compiler, which is made for servers that run for days: a start takes
 * 2.1 CPU seconds instead of 3.7, and its first minute of work two thirds. What is
 * to be fast after minutes sets Kafka's own variable, KAFKA_JVM_PERFORMANCE_OPTS.
 */
const performanceOptions = '-XX:TieredStopAtLevel=1 -XX:+UseG1GC -XX:MaxGCPauseMillis=20';
/** A log that was not closed properly is recovered before the broker answers. */
const startTimeoutMs = 60_000;

/**
 * @param {{ folder: string } & Pick<KafkaOptions, 'port' | 'controllerPort' | 'advertisedPort'>} o
 */
const serverProperties = ({ folder, port, controllerPort, advertisedPort = port }) => `\
# Written at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=BROKER://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=BROKER://127.0.0.1:${advertisedPort}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs=${folder}
# Topics come from the topic table; a mistyped name must fail.
auto.create.topics.enable=false
num.partitions=3
default.replication.factor=1
offsets.topic.replication.factor=1
# One local service reads each group: the default of 50 only costs files and start time.
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After a kill -9 the old session must end before the new broker counts: 5 s instead of 12 s.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# A record of 1 MiB plus its batch overhead and headers, dead letters' headers included.
message.max.bytes=1179648
replica.fetch.max.bytes=1179648
log.segment.bytes=134217728
log.cleaner.dedupe.buffer.size=16777216
`;

const log4jProperties = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
logger.values.name = kafka.server.KafkaConfig
logger.values.level = warn
logger.state.name = state.change.logger
logger.state.level = warn
`;

/**
 * @typedef {object} KafkaOptions
 * @property {string} home
 * @property {number} port
 * @property {number} controllerPort
 * @property {number} [advertisedPort] where clients are sent to: a proxy's
 * @property {string} [more] lines for the broker's properties
 * @property {string} [clusterId] of which it is one broker
 * @property {NodeJS.ProcessEnv} env
 * @property {(child: import('./child.mjs').Child) => void} [onBorn] the process exists
 */

export function newClusterId() {
  return Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
}

/**
 * Writes the configuration and, the first time, formats the storage.
 * @param {KafkaOptions} options
 */
export async function prepareKafka({ home, more = '', env, clusterId = newClusterId(), ...ports }) {
  const config = join(home, 'kafka', 'config');
  const folder = join(home, 'kafka', 'data');
  mkdirSync(config, { recursive: true });
  mkdirSync(join(home, 'logs'), { recursive: true });
  writeFileSync(
    join(config, 'server.properties'),
    serverProperties({ folder, ...ports }) + more,
  );
  writeFileSync(join(config, 'log4j2.properties'), log4jProperties);
  if (existsSync(join(folder, 'meta.properties'))) return;
  await runCommand(
    [
      'java',
      '-XX:TieredStopAtLevel=1',
      ...javaArgs(home),
      'kafka.tools.StorageTool',
      'format',
      '--ignore-formatted',
      // With an equals sign: one id in 64 begins with a dash and would be taken for an option.
      `--cluster-id=${clusterId}`,
      '--config',
      join(config, 'server.properties'),
    ],
    { failure: `Kafka's storage ${folder} could not be formatted.`, env, isTelling },
  );
}

/**
 * @param {KafkaOptions} options a home that was prepared
 * @returns {Promise<import('./child.mjs').Child>} once the broker answers
 */
export async function startKafka({ home, env, onBorn }) {
  const child = await startChild({
    name: 'kafka',
    home,
    command: 'java',
    args: [
      ...heap,
      ...(env.KAFKA_JVM_PERFORMANCE_OPTS ?? performanceOptions).split(' '),
      ...javaArgs(home),
      'kafka.Kafka',
      join(home, 'kafka', 'config', 'server.properties'),
    ],
    env,
  });
  onBorn?.(child);
  await until('Kafka answers', startTimeoutMs, () => {
    const log = readFrom(child.logFile, child.logStart);
    if (log.includes('Kafka Server started')) return true;
    if (child.isRunning()) return undefined;
    throw new StackError(`Kafka ended while it started; its log is ${child.logFile}.`, {
      log: log.trimEnd().split('\n').filter(isTelling).slice(-8).join('\n'),
    });
  });
  return child;
}

/** @param {string} home */
const javaArgs = (home) => [
  '-Djava.awt.headless=true',
  `-Dlog4j2.configurationFile=${join(home, 'kafka', 'config', 'log4j2.properties')}`,
  '-cp',
  join(kafkaLibsFolder, '*'),
];

/** @param {string} line a stack trace buries the reason */
const isTelling = (line) => !/^\s+at |INFO/.test(line);
