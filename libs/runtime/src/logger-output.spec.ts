import { spawnSync } from 'node:child_process';

import { describe, expect, it } from '@jest/globals';

const loggerUrl = new URL('logger.ts', import.meta.url).href;

/** What stands on the standard output of a process that logs two lines and then ends so. */
function outputOf(ending: string): string[] {
  const script = `
    const { createLogger } = await import(${JSON.stringify(loggerUrl)});
    const log = createLogger({ service: 'spec', level: 'info' });
    log.info({}, 'first');
    log.info({}, 'second');
    ${ending}`;
  const { stdout } = spawnSync(
    process.execPath,
    ['--experimental-transform-types', '--input-type=module', '--eval', script],
    { encoding: 'utf8' },
  );
  return stdout.split('\n').flatMap((line) => /"message":"(\w+)"/.exec(line)?.[1] ?? []);
}

describe('lines that are written together', () => {
  it.each([
    ['ends by itself', ''],
    ['exits', 'process.exit(3);'],
    ['crashes', 'throw new Error();'],
    ['is killed a moment later', `setTimeout(() => process.kill(process.pid, 'SIGKILL'), 500);`],
  ])('are all there when the process %s', (_how, ending) => {
    expect(outputOf(ending)).toEqual(['first', 'second']);
  });

  it.each(['warn', 'error'])('are written at once, in order, with a line of level %s', (level) => {
    const ending = `log.${level}({}, 'last'); process.kill(process.pid, 'SIGKILL');`;
    expect(outputOf(ending)).toEqual(['first', 'second', 'last']);
  });
});
