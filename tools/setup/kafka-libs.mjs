/** Fetches Apache Kafka by its Maven coordinates, once. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { kafkaLibsFolder } from '../paths.mjs';
import { runCommand } from './run-command.mjs';

const kafkaVersion = '4.4.0';
/** Kafka speaks to slf4j 1.7; without a binding it logs nothing at all. */
const log4jVersion = '2.25.5';

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>kafka-libs</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${kafkaVersion}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>${log4jVersion}</version>
    </dependency>
  </dependencies>
</project>
`;

/** @returns {boolean} the jars of this very version are there, all of them */
export function hasKafkaLibs() {
  const marker = join(kafkaLibsFolder, '.complete');
  return existsSync(marker) && readFileSync(marker, 'utf8') === pom;
}

/**
 * The folder appears complete or not at all: Maven writes beside it, then it is renamed.
 * @param {{ signal?: AbortSignal, onProgress?: (line: string) => void }} [options] `onProgress` is
 *   given each line of Maven's own report
 */
export async function fetchKafkaLibs({ signal, onProgress } = {}) {
  if (hasKafkaLibs()) return;
  const parent = dirname(kafkaLibsFolder);
  const fetching = join(parent, `fetching-${process.pid}`);
  const pomFile = join(fetching, 'pom.xml');
  mkdirSync(fetching, { recursive: true });
  try {
    writeFileSync(pomFile, pom);
    await runCommand(
      [
        'mvn',
        '--batch-mode',
        '--file',
        pomFile,
        'dependency:copy-dependencies',
        `-DoutputDirectory=${join(fetching, 'libs')}`,
      ],
      {
        failure:
          `Maven could not fetch Apache Kafka ${kafkaVersion}: ` +
          'check the network and ~/.m2/settings.xml.',
        signal,
        onLine: onProgress,
        isTelling: (line) => line.includes('ERROR'),
      },
    );
    writeFileSync(join(fetching, 'libs', '.complete'), pom);
    rmSync(kafkaLibsFolder, { recursive: true, force: true });
    renameSync(join(fetching, 'libs'), kafkaLibsFolder);
  } finally {
    rmSync(fetching, { recursive: true, force: true });
  }
}
