import type { ToolEffect, ToolSubmission } from '@millrace/contracts';
import { toolNameSchema, toolSubmissionSchema } from '@millrace/contracts';
import { z } from 'zod';

/** What a tool's code is told beside its arguments. */
export interface ToolContext {
  /** The same for every attempt and every redelivery of a call: a key to do a thing once by. */
  readonly callId: string;
  readonly jobId: string;
  /** From 1. */
  readonly attempt: number;
  /** An answer after this is not waited for. */
  readonly deadline: Date;
  /** Aborted at the deadline, and when the worker stops and will not wait any longer. */
  readonly signal: AbortSignal;
}

/** JSON Schema of the arguments: the workflow checks them by it before a worker is asked. */
export type JsonSchema = Readonly<Record<string, unknown>> & { readonly type: 'object' };

interface ToolFields {
  readonly name: string;
  readonly description: string;
  /** `write`, the default, changes something outside. */
  readonly effect?: ToolEffect;
  readonly timeoutSeconds?: number;
}

export interface ZodToolOptions<Input extends z.ZodType> extends ToolFields {
  readonly input: Input;
  /** What it returns the model is told: text as it is, else as JSON. So is what it throws. */
  run(args: z.output<Input>, context: ToolContext): unknown;
}

export interface JsonToolOptions extends ToolFields {
  readonly input: JsonSchema;
  run(args: Readonly<Record<string, unknown>>, context: ToolContext): unknown;
}

/** What a call came to before its result is looked at. */
export type ParsedCall =
  | { readonly ok: true; readonly run: (context: ToolContext) => unknown }
  | { readonly ok: false; readonly detail: string };

/** A tool that a worker serves. */
export interface WorkerTool {
  readonly name: string;
  /** The body of `PUT /v1/tools/{name}`, by which it is registered. */
  readonly submission: ToolSubmission;
  parse(args: Readonly<Record<string, unknown>>): ParsedCall;
}

/**
 * A tool of one's own workers.
 * @throws when the name or the schema is none that could be registered.
 */
export function defineTool<Input extends z.ZodType>(options: ZodToolOptions<Input>): WorkerTool;
export function defineTool(options: JsonToolOptions): WorkerTool;
export function defineTool(options: ZodToolOptions<z.ZodType> | JsonToolOptions): WorkerTool {
  const name = toolNameSchema.parse(options.name);
  return { name, submission: submissionOf(options), parse: (args) => parseCall(options, args) };
}

function parseCall(
  options: ZodToolOptions<z.ZodType> | JsonToolOptions,
  args: Readonly<Record<string, unknown>>,
): ParsedCall {
  if (!takesZod(options)) return { ok: true, run: (context) => options.run(args, context) };
  const parsed = options.input.safeParse(args);
  if (!parsed.success) return { ok: false, detail: z.prettifyError(parsed.error) };
  return { ok: true, run: (context) => options.run(parsed.data, context) };
}

function submissionOf(options: ZodToolOptions<z.ZodType> | JsonToolOptions): ToolSubmission {
  const { description, effect, timeoutSeconds } = options;
  const schema = takesZod(options) ? z.toJSONSchema(options.input, { io: 'input' }) : options.input;
  return toolSubmissionSchema.parse({
    description,
    input_schema: schema,
    target: { kind: 'worker' },
    ...(effect === undefined ? {} : { effect }),
    ...(timeoutSeconds === undefined ? {} : { timeout_seconds: timeoutSeconds }),
  });
}

function takesZod(
  options: ZodToolOptions<z.ZodType> | JsonToolOptions,
): options is ZodToolOptions<z.ZodType> {
  return options.input instanceof z.ZodType;
}
