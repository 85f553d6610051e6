import { Api, RefusedError, UnreachableError } from './api.ts';
import type { Command } from './command.ts';
import type { Config } from './config.ts';
import { explanation, overview } from './core/help.ts';
import { nextStep } from './core/next-step.ts';
import { printable } from './core/table.ts';
import { UsageError } from './core/usage-error.ts';

/** How a command ended, as its exit status tells. */
export const exitStatus = { done: 0, refused: 1, usage: 2, unreachable: 3 } as const;
export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

export interface Terminal {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  /** Where errors go, without a line's end. */
  readonly write?: (text: string) => void;
  /** Whether both go to a person's screen. */
  readonly isOneScreen?: boolean;
}

export interface CommandLineOptions {
  readonly commands: readonly Command[];
  readonly readConfig: () => Config;
  readonly terminal: Terminal;
}

/** Runs what was typed after `millrace`, and says how it ended. */
export async function runCommandLine(
  words: readonly string[],
  options: CommandLineOptions,
): Promise<ExitStatus> {
  const { commands, terminal } = options;
  const command = findCommand(commands, words);
  if (words.includes('--help') || words.length === 0) {
    terminal.out(command === undefined ? overview(meant(commands, words)) : explanation(command));
    return words.length === 0 ? exitStatus.usage : exitStatus.done;
  }
  if (command === undefined) {
    return tell(new UsageError(`there is no command ${words.join(' ')}`), { terminal });
  }
  return runCommand(command, { ...options, words });
}

/** The command whose words were typed first: the longest, so that one may begin another. */
function findCommand(
  commands: readonly Command[],
  words: readonly string[],
): Command | undefined {
  const typed = `${words.join(' ')} `;
  return commands
    .filter(({ name }) => typed.startsWith(`${name} `))
    .sort((a, b) => b.name.length - a.name.length)[0];
}

/** Commands that begin with what was typed, options aside; all of them where none does. */
function meant(commands: readonly Command[], words: readonly string[]): readonly Command[] {
  const typed = words.filter((word) => !word.startsWith('-')).join(' ');
  const group = commands.filter(({ name }) => name.startsWith(`${typed} `));
  return group.length === 0 ? commands : group;
}

async function runCommand(
  command: Command,
  o: CommandLineOptions & { readonly words: readonly string[] },
): Promise<ExitStatus> {
  const { terminal } = o;
  const rest = o.words.slice(command.name.split(' ').length);
  const typed = rest.filter((word) => word !== '--json');
  let api: Api | undefined;
  try {
    const run = command.parse(typed);
    api = new Api(o.readConfig());
    const write = terminal.write ?? (() => undefined);
    const { error: note, isOneScreen = false } = terminal;
    const answer = await run({ api, now: new Date(), note, write, isOneScreen });
    terminal.out(typed.length < rest.length ? JSON.stringify(answer.json, null, 2) : answer.text);
    return exitStatus.done;
  } catch (error) {
    return tell(error, { terminal, command, traceId: api?.traceId });
  }
}

interface Failed {
  readonly terminal: Terminal;
  readonly command?: Command;
  readonly traceId?: string | undefined;
}

/** Of the whole body there is no path to name. */
function lineOf({ path, message }: { readonly path: string; readonly message: string }): string {
  return path === '' ? `  ${message}` : `  ${path}: ${message}`;
}

/** What went wrong, one next step, and the trace id. What is no error of use is a bug: thrown. */
function tell(error: unknown, { terminal, command, traceId }: Failed): ExitStatus {
  if (error instanceof UsageError) {
    const help = command === undefined ? 'millrace --help' : `millrace ${command.name} --help`;
    terminal.error(`${error.message}\nnext: ${help}`);
    return exitStatus.usage;
  }
  if (error instanceof RefusedError) {
    const { problem } = error;
    const details = problem.errors?.map(lineOf) ?? [];
    terminal.error(
      printable(
        [
          `refused: ${problem.detail} (${problem.code})`,
          ...details,
          `next: ${nextStep(problem.code)}`,
          `trace: ${problem.trace_id ?? traceId ?? ''}`,
        ].join('\n'),
      ),
    );
    return exitStatus.refused;
  }
  if (error instanceof UnreachableError) {
    const step = 'start Millrace by `npm start`, or set MILLRACE_URL to where it runs';
    terminal.error(`${error.message}\nnext: ${step}\ntrace: ${traceId ?? ''}`);
    return exitStatus.unreachable;
  }
  throw error;
}
