import { parseArgs } from 'node:util';

import { z } from 'zod';

import type { Api } from './api.ts';
import type { Explained, ExplainedOption } from './core/help.ts';
import { UsageError } from './core/usage-error.ts';

/** What a command answers: for machines, and as a person reads it. */
export interface Answer {
  readonly json: unknown;
  readonly text: string;
}

/** Of a flag `true`, of every other option its text. */
export type TypedOptions = Readonly<Record<string, string | boolean | undefined>>;

/** What a command works with. */
export interface CommandContext {
  readonly api: Api;
  readonly now: Date;
  /** Tells a person how far it is: on standard error, so that the answer stays clean. */
  readonly note: (line: string) => void;
  /** The same without a line's end: a text as it is written. */
  readonly write: (text: string) => void;
  /** Whether what is told and the answer are read one below the other. */
  readonly isOneScreen: boolean;
}

export interface CommandSpec<O extends z.ZodObject> {
  /** The words that call it: `jobs list`. */
  readonly name: string;
  readonly summary: string;
  /** A line that can be typed as it stands. */
  readonly example: string;
  /** Names of what is given without a dash, in order; each is needed. */
  readonly operands: readonly string[];
  /** By name without the dashes: each made by `valueOption` or `flagOption`. */
  readonly options: O;
  readonly run: (
    context: CommandContext,
    input: {
      readonly operands: readonly string[];
      readonly values: z.infer<O>;
      /** The options as they were typed. */
      readonly typed: TypedOptions;
    },
  ) => Promise<Answer>;
}

/** A command whose types were used up: what the command line can list, explain and start. */
export interface Command extends Explained {
  /** @throws UsageError when what was typed does not fit. */
  parse(typed: readonly string[]): (context: CommandContext) => Promise<Answer>;
}

/** `--name PLACEHOLDER`: the schema reads the text that was typed. */
export function valueOption<S extends z.ZodType>(
  placeholder: string,
  summary: string,
  schema: S,
): z.ZodOptional<S> {
  return schema.optional().meta({ placeholder, summary });
}

/** `--name` */
export function flagOption(summary: string): z.ZodDefault<z.ZodBoolean> {
  return z.boolean().default(false).meta({ summary });
}

export function defineCommand<O extends z.ZodObject>(spec: CommandSpec<O>): Command {
  const { name, summary, example, operands } = spec;
  const options = Object.entries(spec.options.shape).map(([option, schema]) =>
    explained(option, schema),
  );
  return {
    name,
    summary,
    example,
    operands,
    options,
    parse(typed) {
      const { positionals, values } = splitWords(options, typed);
      if (positionals.length !== operands.length) {
        throw new UsageError(`${name} takes ${operands.join(' ').toUpperCase() || 'only options'}`);
      }
      const read = spec.options.safeParse(values);
      if (!read.success) {
        const [issue] = read.error.issues;
        throw new UsageError(`--${String(issue?.path[0])}: ${issue?.message}`);
      }
      const input = { operands: positionals, values: read.data, typed: values };
      return (context) => spec.run(context, input);
    },
  };
}

const metaSchema = z.object({ placeholder: z.string().optional(), summary: z.string() });
const describedSchema = z.instanceof(z.ZodType);

function explained(name: string, schema: unknown): ExplainedOption {
  return { name, ...metaSchema.parse(describedSchema.parse(schema).meta()) };
}

function splitWords(
  options: readonly ExplainedOption[],
  typed: readonly string[],
): { readonly positionals: readonly string[]; readonly values: TypedOptions } {
  const types = options.map(({ name, placeholder }) => {
    const type = placeholder === undefined ? ('boolean' as const) : ('string' as const);
    return [name, { type }] as const;
  });
  try {
    return parseArgs({
      args: [...typed],
      options: Object.fromEntries(types),
      allowPositionals: true,
    });
  } catch (error) {
    const message = typingError(error);
    throw message === null ? error : new UsageError(message);
  }
}

const typingErrorSchema = z.object({
  code: z.string().startsWith('ERR_PARSE_ARGS_'),
  message: z.string(),
});

/** What `parseArgs` says to who typed; null for whatever else was thrown. */
function typingError(error: unknown): string | null {
  const parsed = typingErrorSchema.safeParse(error);
  return parsed.success ? parsed.data.message : null;
}
