import {
  toolDefinitionSchema,
  toolDescriptionLengthMax,
  toolSchemaBytesMax,
  toolSchemaDepthMax,
} from '@millrace/contracts';
import { z } from 'zod';

import type { ToolChecks } from './check-tool.ts';
import type { Described, Missing } from './describe.ts';
import { isDeeperThan } from './json-depth.ts';
import { innerToolName } from './tool-name.ts';
import type { Tool } from './tool.ts';

/** A tool as its server lists it, as far as it is told on. */
export const mcpToolSchema = z.looseObject({
  name: z.string(),
  title: z.string().optional(),
  description: z.string().optional(),
  inputSchema: z.looseObject({ type: z.literal('object') }),
  outputSchema: z.looseObject({}).optional(),
});
export type McpTool = z.infer<typeof mcpToolSchema>;

export interface ServerTools {
  readonly server: Tool;
  readonly tools: readonly McpTool[];
  /** The name that was asked for, and of the server's tools the one; null: all of them. */
  readonly asked: { readonly name: string; readonly inner: string | null };
}

/** What a server's tools are to a run. Hints of the server about effects are not believed. */
export function mcpDefinitions(
  { asked, server, tools }: ServerTools,
  schemaError: ToolChecks['schemaError'],
): Described {
  const wanted = tools.filter(({ name }) => asked.inner === null || name === asked.inner);
  if (asked.inner !== null && wanted.length === 0) {
    const detail = 'the server has no tool of this name';
    return { tools: [], missing: [{ name: asked.name, detail }] };
  }
  const parts = wanted.map((tool) => oneDefinition(server, tool, schemaError));
  return {
    tools: parts.flatMap((part) => part.tools),
    missing: parts.flatMap((part) => part.missing),
  };
}

function oneDefinition(
  { content, name: server, version }: Tool,
  tool: McpTool,
  schemaError: ToolChecks['schemaError'],
): Described {
  const name = innerToolName(server, tool.name);
  const shown = `${server}__${tool.name}`.slice(0, shownNameLengthMax);
  if (name === null) return absent(shown, 'the name is none that a model may be told');
  for (const schema of [tool.inputSchema, tool.outputSchema]) {
    const error = schema === undefined ? null : boundsError(schema) ?? schemaError(schema);
    if (error !== null) return absent(shown, `a schema of it ${error}`);
  }
  const description = tool.description ?? tool.title ?? tool.name;
  const definition = toolDefinitionSchema.parse({
    name,
    version,
    description: description.slice(0, toolDescriptionLengthMax),
    input_schema: tool.inputSchema,
    effect: content.effect,
    approval: content.approval,
    via: 'runner',
    timeout_seconds: content.timeout_seconds,
    retries: content.retries,
    result_bytes_max: content.result_bytes_max,
    ...(tool.outputSchema === undefined ? {} : { output_schema: tool.outputSchema }),
  });
  return { tools: [definition], missing: [] };
}

/** Characters of a name that cannot be used, for people to find it by. */
const shownNameLengthMax = 200;

function absent(name: string, detail: string): { tools: []; missing: Missing[] } {
  return { tools: [], missing: [{ name, detail }] };
}

function boundsError(schema: Readonly<Record<string, unknown>>): string | null {
  if (isDeeperThan(schema, toolSchemaDepthMax)) {
    return `is nested deeper than ${toolSchemaDepthMax} levels`;
  }
  const bytes = Buffer.byteLength(JSON.stringify(schema));
  return bytes > toolSchemaBytesMax ? `is longer than ${toolSchemaBytesMax} bytes` : null;
}
