import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';
import { readConfig } from './config.ts';

process.exitCode = await runCommandLine(process.argv.slice(2), {
  commands,
  readConfig,
  terminal: {
    out: (text) => process.stdout.write(`${text}\n`),
    error: (text) => process.stderr.write(`${text}\n`),
  },
});
