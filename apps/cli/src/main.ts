import { allowNoReader } from './allow-no-reader.ts';
import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';
import { readConfig } from './config.ts';

allowNoReader(process.stdout);
allowNoReader(process.stderr);
process.exitCode = await runCommandLine(process.argv.slice(2), {
  commands,
  readConfig,
  terminal: {
    out: (text) => process.stdout.write(`${text}\n`),
    error: (text) => process.stderr.write(`${text}\n`),
    write: (text) => process.stderr.write(text),
    isOneScreen: process.stdout.isTTY && process.stderr.isTTY,
  },
});
