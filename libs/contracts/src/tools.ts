import { z } from 'zod';

import { errorCodeSchema } from './errors.ts';
import {
  callbackUrlLengthMax,
  toolDescriptionLengthMax,
  toolResultBytesDefault,
  toolResultBytesMax,
  toolRetriesMax,
  toolTimeoutSecondsDefault,
  toolTimeoutSecondsMax,
} from './limits.ts';

/** Stands between an MCP server and its tool, and in no name that is registered. */
export const toolServerSeparator = '__';

/** The names that an agent's run gives to tools of its own. */
export const ownToolNames: ReadonlySet<string> = new Set(['final_answer', 'wait_for_signal']);

/** A tool's name, as the Messages API takes it; see {@link toolServerSeparator}. */
export const toolNameSchema = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 characters of A-Z a-z 0-9 _ -');

const headersSchema = z
  .record(z.string().regex(/^[A-Za-z0-9-]{1,64}$/), z.string().max(1_024))
  .refine((headers) => Object.keys(headers).length <= 16, { message: 'at most 16 headers' });

/** Where a tool is run. */
export const toolTargetSchema = z
  .discriminatedUnion('kind', [
    /** A signed POST of the arguments. */
    z.strictObject({
      kind: z.literal('http'),
      url: z.string().min(1).max(callbackUrlLengthMax),
      headers: headersSchema.optional(),
    }),
    /** A server of the Model Context Protocol over streamable HTTP: each of its tools is one. */
    z.strictObject({
      kind: z.literal('mcp'),
      url: z.string().min(1).max(callbackUrlLengthMax),
      headers: headersSchema.optional(),
    }),
    /** The tenant's own workers, which read `tools.requested.v1`. */
    z.strictObject({ kind: z.literal('worker') }),
  ])
  .meta({ id: 'ToolTarget' });
export type ToolTarget = z.infer<typeof toolTargetSchema>;

/** `write` changes something outside; what only looks is `read`. */
export const toolEffectSchema = z.enum(['read', 'write']);
export type ToolEffect = z.infer<typeof toolEffectSchema>;

/** When a person has to agree; `auto`: to a `write` once untrusted content was read. */
export const toolApprovalSchema = z.enum(['auto', 'always', 'never']);
export type ToolApproval = z.infer<typeof toolApprovalSchema>;

const toolFields = {
  description: z.string().min(1).max(toolDescriptionLengthMax),
  /** JSON Schema of the arguments; needless for an MCP server, which tells its tools' own. */
  input_schema: z.looseObject({ type: z.literal('object') }).optional(),
  /** JSON Schema of the result, when it is to be checked. */
  output_schema: z.looseObject({}).optional(),
  target: toolTargetSchema,
  effect: toolEffectSchema.default('write'),
  approval: toolApprovalSchema.default('auto'),
  timeout_seconds: z
    .int()
    .min(1)
    .max(toolTimeoutSecondsMax)
    .default(toolTimeoutSecondsDefault)
    .describe('For one attempt.'),
  retries: z.int().min(0).max(toolRetriesMax).default(2),
  result_bytes_max: z.int().min(1).max(toolResultBytesMax).default(toolResultBytesDefault),
};

/** `PUT /v1/tools/{name}` */
export const toolSubmissionSchema = z
  .strictObject(toolFields)
  .refine(({ target, input_schema }) => target.kind === 'mcp' || input_schema !== undefined, {
    message: 'is needed',
    path: ['input_schema'],
  })
  .meta({ id: 'ToolSubmission' });
export type ToolSubmission = z.infer<typeof toolSubmissionSchema>;

/** A tool as the API shows it. Each change is a new version; a run keeps the one it began with. */
export const toolViewSchema = z
  .object({
    name: toolNameSchema,
    version: z.int().positive(),
    ...toolFields,
    created_at: z.iso.datetime(),
    changed_at: z.iso.datetime(),
  })
  .meta({ id: 'Tool' });
export type ToolView = z.infer<typeof toolViewSchema>;

export const toolListSchema = z
  .object({ data: z.array(toolViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'ToolList' });
export type ToolList = z.infer<typeof toolListSchema>;

/** What an agent's run has to know of a tool: taken once, when it begins. */
export const toolDefinitionSchema = z
  .object({
    name: toolNameSchema,
    version: z.int().positive(),
    description: z.string(),
    input_schema: z.looseObject({ type: z.literal('object') }),
    effect: toolEffectSchema,
    approval: toolApprovalSchema,
    /** `runner`: by tool-runner. `worker`: by the tenant's own workers. */
    via: z.enum(['runner', 'worker']),
    timeout_seconds: z.int().positive(),
    retries: z.int().nonnegative(),
    result_bytes_max: z.int().positive(),
    output_schema: z.looseObject({}).optional(),
  })
  .meta({ id: 'ToolDefinition' });
export type ToolDefinition = z.infer<typeof toolDefinitionSchema>;

export const toolErrorSchema = z
  .object({ code: errorCodeSchema, detail: z.string() })
  .meta({ id: 'ToolError' });
export type ToolError = z.infer<typeof toolErrorSchema>;

/** Where tool-runner answers to ingest, and to nobody without the internal key. */
export const toolsPath = '/internal/tenants/:tenant/tools';
