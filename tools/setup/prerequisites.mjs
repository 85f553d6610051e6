/** What must be on the machine before anything else: Node, Java, Maven. */
import { spawnSync } from 'node:child_process';

import { StackError } from '../stack/stack-error.mjs';

const nodeMajorMin = 20;
const javaMajorMin = 17;

/** @throws StackError that names everything that is missing or too old, and what to do */
export function requirePrerequisites() {
  const problems = [nodeProblem(), javaProblem(), mavenProblem()].filter(
    (problem) => problem !== undefined,
  );
  if (problems.length === 0) return;
  throw new StackError(
    `This machine lacks what Millrace needs:\n${problems.map((each) => `  - ${each}`).join('\n')}`,
  );
}

/** Alone, because the rest of the tools does not even parse on a very old Node. */
export function nodeProblem() {
  if (Number(process.versions.node.split('.')[0]) >= nodeMajorMin) return undefined;
  return (
    `Node ${nodeMajorMin} or newer; this is ${process.versions.node}. ` +
    'Install one from https://nodejs.org (the newer Node that services run on comes by itself).'
  );
}

function javaProblem() {
  const advice =
    `Install a JDK or JRE, for example \`apt-get install openjdk-${javaMajorMin}-jre-headless\` ` +
    'or https://adoptium.net, and have `java` on PATH.';
  const text = outputOf('java', ['-version']);
  if (text === undefined) return `Java ${javaMajorMin} or newer; \`java\` was not found. ${advice}`;
  // "17.0.15" is 17; what came before 9 called itself "1.8.0".
  const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  const major = first === '1' ? Number(second) : Number(first);
  if (major >= javaMajorMin) return undefined;
  const found = Number.isNaN(major) ? 'of an unknown version' : String(major);
  return `Java ${javaMajorMin} or newer; \`java\` is ${found}. ${advice}`;
}

function mavenProblem() {
  if (outputOf('mvn', ['--version'])?.includes('Apache Maven')) return undefined;
  return (
    'Maven 3; `mvn` was not found or does not run. Install it, for example ' +
    '`apt-get install maven` or https://maven.apache.org, and have `mvn` on PATH.'
  );
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {string | undefined} undefined when it does not run
 */
function outputOf(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? `${stdout}${stderr}` : undefined;
}
