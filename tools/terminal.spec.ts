import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

import { expect, it } from '@jest/globals';

const program = `
  const { print } = await import('./tools/terminal.mjs');
  for (let line = 0; line < 100; line += 1) {
    print('a line');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  process.exitCode = 7;
`;

it('goes on to its own end when nobody reads what it prints any more', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.once('data', () => child.stdout.destroy());
  const [said, [status]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  expect({ said, status }).toEqual({ said: '', status: 7 });
});
