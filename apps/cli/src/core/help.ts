/** What the help says of a command. */
export interface Explained {
  readonly name: string;
  readonly summary: string;
  readonly example: string;
  readonly operands: readonly string[];
  readonly options: readonly ExplainedOption[];
}

/** `--name PLACEHOLDER`, or `--name` when there is none. */
export interface ExplainedOption {
  readonly name: string;
  readonly placeholder?: string | undefined;
  readonly summary: string;
}

/** Options that every command takes. */
const everywhere = [
  ['--json', 'answer as JSON, for machines'],
  ['--help', 'explain this command'],
] as const;

const environment = `Address: MILLRACE_URL (http://127.0.0.1:8080).
Key: MILLRACE_API_KEY, or the local stack's .millrace/api-key.
Exit status: 0 done, 1 refused, 2 used wrongly, 3 nobody answers.`;

/** All commands, one line each. */
export function overview(commands: readonly Explained[]): string {
  const rows = commands.map((command) => [command.name, command.summary] as const);
  return [
    'Usage: millrace COMMAND [--json] [--help]',
    '',
    ...columns(rows),
    '',
    environment,
  ].join('\n');
}

/** One command: how it is typed, its options, an example. */
export function explanation(command: Explained): string {
  const operands = command.operands.map((operand) => ` ${operand.toUpperCase()}`).join('');
  const options = command.options.map(({ name, placeholder, summary }) => {
    const typed = placeholder === undefined ? `--${name}` : `--${name} ${placeholder}`;
    return [typed, summary] as const;
  });
  return [
    `Usage: millrace ${command.name}${operands} [OPTIONS]`,
    '',
    `${command.summary}.`,
    '',
    ...columns([...options, ...everywhere]),
    '',
    `Example: ${command.example}`,
  ].join('\n');
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`);
}
