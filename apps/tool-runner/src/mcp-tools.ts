import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js';
import { LRUCache } from 'lru-cache';

import type { Failure } from './core/completion.ts';
import { mcpDefinitions, type McpTool } from './core/mcp-definitions.ts';
import { mcpResult, mcpResultSchema } from './core/mcp-result.ts';
import type { Described, NamedTool } from './core/describe.ts';
import type { ToolResult } from './core/outcome.ts';
import { secondsOf } from './core/seconds.ts';
import type { Tool } from './core/tool.ts';
import { schemaError } from './json-schemas.ts';
import { McpConnection, McpUnanswered, type McpUse } from './mcp-connection.ts';
import type { Courier } from './ports.ts';
import { ToolCaller, type ToolCall } from './tool-calls.ts';

/** Sessions that are held, and for how long one that nobody uses. */
const connectionsMax = 500;
const idleMs = 5 * 60_000;
/** How long a server's list of tools is believed. */
const listMs = 60_000;
/** Lists that are held, of a MiB at most each. */
const listsMax = 64;
/** To open a session, whoever waits for it: many may. */
const connectMs = 10_000;
/** Characters of a server's message that the model is told. */
const messageLengthMax = 500;

/** Calls tools of MCP servers, one session for each version of a registered server. */
export class McpTools extends ToolCaller {
  private readonly connections = new LRUCache<string, Promise<McpConnection>>({
    max: connectionsMax,
    ttl: idleMs,
    updateAgeOnGet: true,
    dispose: (connection) => void connection.then((open) => open.close()).catch(ignore),
  });
  private readonly lists = new LRUCache<string, Promise<McpTool[]>>({
    max: listsMax,
    ttl: listMs,
  });

  constructor(private readonly courier: Courier) {
    super();
  }

  async call(call: ToolCall): Promise<ToolResult> {
    const { checkLease, inner, request, signal, timeoutMs, tool, traceHeaders } = call;
    const endsAtMs = performance.now() + timeoutMs;
    const use = { endsAtMs, signal, checkLease, traceHeaders };
    try {
      const name = inner ?? '';
      const result = await this.used(tool, use, (connection) =>
        connection.callTool(name, request.arguments, use),
      );
      const parsed = mcpResultSchema.safeParse(result);
      if (!parsed.success) return againstProtocol;
      return mcpResult(parsed.data, tool.content.result_bytes_max);
    } catch (error) {
      return this.resultOfError(error, call);
    }
  }

  /** What the tools of a server are. A server that does not answer in time has none. */
  async describe({ inner, name, tool }: NamedTool, use: McpUse): Promise<Described> {
    if (tool === null) return { tools: [], missing: [] };
    try {
      const tools = await this.list(tool, use);
      return mcpDefinitions({ server: tool, tools, asked: { name, inner } }, schemaError);
    } catch (error) {
      return { tools: [], missing: [{ name, ...whyUnanswered(error) }] };
    }
  }

  close(): void {
    this.connections.clear();
  }

  private list(tool: Tool, use: McpUse): Promise<McpTool[]> {
    const key = keyOf(tool);
    const known = this.lists.get(key);
    if (known !== undefined) return known;
    const listing = this.used(tool, use, (connection) => connection.listTools(use));
    this.lists.set(key, listing);
    listing.catch(() => {
      if (this.lists.peek(key) === listing) this.lists.delete(key);
    });
    return listing;
  }

  /** Once more with a new session when the server has forgotten the old one. */
  private async used<T>(
    tool: Tool,
    use: McpUse,
    work: (connection: McpConnection) => Promise<T>,
  ): Promise<T> {
    const opening = this.connection(tool);
    try {
      return await work(await withinUse(opening, use));
    } catch (error) {
      if (!(error instanceof McpUnanswered) || !error.sessionOver) throw error;
      if (this.connections.peek(keyOf(tool)) === opening) this.connections.delete(keyOf(tool));
      return work(await withinUse(this.connection(tool), use));
    }
  }

  private connection(tool: Tool): Promise<McpConnection> {
    const key = keyOf(tool);
    const known = this.connections.get(key);
    if (known !== undefined) return known;
    const { target } = tool.content;
    if (target.kind !== 'mcp') throw new TypeError('not an MCP server');
    // Not bounded by the call that asks for it: others wait for it too.
    const use = {
      endsAtMs: performance.now() + connectMs,
      signal: AbortSignal.timeout(connectMs),
      checkLease: ignore,
      traceHeaders: {},
    };
    const server = { url: target.url, headers: target.headers ?? {} };
    const opening = McpConnection.open(this.courier, server, use);
    this.connections.set(key, opening);
    opening.catch(() => {
      if (this.connections.peek(key) === opening) this.connections.delete(key);
    });
    return opening;
  }

  private resultOfError(error: unknown, { signal, timeoutMs }: ToolCall): ToolResult {
    if (signal.aborted) return { kind: 'postponed', reason: 'stopping' };
    if (error instanceof McpUnanswered) return error.result;
    if (error instanceof OutOfTime) return timedOut(timeoutMs);
    if (!(error instanceof McpError)) return againstProtocol;
    if (error.code === ErrorCode.RequestTimeout.valueOf()) return timedOut(timeoutMs);
    const transient = error.code === ErrorCode.ConnectionClosed.valueOf();
    const detail = `the server refused the call: ${error.message.slice(0, messageLengthMax)}`;
    return {
      kind: 'failure',
      failure: { code: 'tool_failed', detail },
      transient,
      class: `mcp_${error.code}`,
      ...(transient ? {} : { status: 200 }),
    };
  }
}

function whyUnanswered(error: unknown): Failure {
  const result = error instanceof McpUnanswered ? error.result : againstProtocol;
  return result.kind === 'failure' ? result.failure : againstProtocol.failure;
}

/** The time of a call was over before there was a session. */
class OutOfTime extends Error {
  override readonly name = 'OutOfTime';
}

async function withinUse<T>(work: Promise<T>, { endsAtMs, signal }: McpUse): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(new OutOfTime('no session in time'));
  const timer = setTimeout(stop, Math.max(1, endsAtMs - performance.now()));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

function timedOut(timeoutMs: number): ToolResult {
  const detail = `the server did not answer within ${secondsOf(timeoutMs)} s`;
  return {
    kind: 'failure',
    failure: { code: 'tool_timeout', detail },
    transient: true,
    class: 'timeout',
  };
}

const againstProtocol = {
  kind: 'failure',
  failure: { code: 'tool_failed', detail: 'the server did not answer as the protocol says' },
  transient: false,
  class: 'protocol',
} as const satisfies ToolResult;

function keyOf({ tenant, name, version }: Tool): string {
  return `${tenant}/${name}/${version}`;
}

function ignore(): void {
  // A session that never began, or that is gone: there is nothing to end.
}
