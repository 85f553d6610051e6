import type { ErrorCode, ToolDefinition, ToolDescribeRequested } from '@millrace/contracts';

import { addresseeOf, completionBytesMax, type Completion } from './completion.ts';
import { definitionOf, type Tool } from './tool.ts';
import { parseToolName } from './tool-name.ts';

export interface Missing {
  readonly name: string;
  readonly detail: string;
  /** Why its server could not be asked; absent of a tool that is not there. */
  readonly code?: ErrorCode;
}

/** What the names of a request stand for. */
export interface Described {
  readonly tools: readonly ToolDefinition[];
  readonly missing: readonly Missing[];
}

/** One name, and the registered tool that it leads to. */
export interface NamedTool {
  readonly name: string;
  /** Of the server's tools only this one is asked for; null: all, or it is no server. */
  readonly inner: string | null;
  readonly tool: Tool | null;
}

/** The tools that the names of a request lead to, each name once. */
export function namedTools(names: readonly string[], found: readonly Tool[]): NamedTool[] {
  const byName = new Map(found.map((tool) => [tool.name, tool]));
  return [...new Set(names)].map((name) => {
    const { registered, inner } = parseToolName(name);
    const tool = byName.get(registered) ?? null;
    const isServer = tool?.content.target.kind === 'mcp';
    return { name, inner, tool: inner !== null && !isServer ? null : tool };
  });
}

/** Names of registered tools that have to be loaded for a request. */
export function registeredNames(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => parseToolName(name).registered))];
}

export function needsNetwork(named: readonly NamedTool[]): boolean {
  return named.some(({ tool }) => tool?.content.target.kind === 'mcp');
}

/** What is known of a name without asking anybody. Null: a server has to be asked. */
export function describeAtOnce({ name, tool }: NamedTool): Described | null {
  if (tool === null) {
    return { tools: [], missing: [{ name, detail: 'no tool of this name is registered' }] };
  }
  if (tool.content.target.kind === 'mcp') return null;
  return { tools: [definitionOf(tool)], missing: [] };
}

/**
 * The answer to a request. One event carries it, so that what goes beyond is missing; of a name
 * that was asked for twice, by itself and by its server's, one is told.
 */
export function describedCompletion(
  request: ToolDescribeRequested,
  parts: readonly Described[],
): Completion {
  const tools: ToolDefinition[] = [];
  const missing = parts.flatMap((part) => part.missing);
  const seen = new Set<string>();
  let bytes = 0;
  for (const definition of parts.flatMap((part) => part.tools)) {
    if (seen.has(definition.name)) continue;
    seen.add(definition.name);
    bytes += Buffer.byteLength(JSON.stringify(definition));
    if (bytes > completionBytesMax - reservedBytes) {
      const detail = 'the definitions of all tools together are too large';
      missing.push({ name: definition.name, detail });
    } else tools.push(definition);
  }
  const data = { ...addresseeOf(request), tools, missing: missing.slice(0, missingMax) };
  return { type: 'millrace.tool.described.v1', data };
}

/** For ids, token and what is missing. */
const reservedBytes = 128 * 1024;
const missingMax = 256;
