import { AsyncLocalStorage } from 'node:async_hooks';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike, Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { CallToolResultSchema, ListToolsResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

import { userAgent } from './core/http-request.ts';
import { httpResult } from './core/http-result.ts';
import { mcpToolSchema, type McpTool } from './core/mcp-definitions.ts';
import type { ToolResult } from './core/outcome.ts';
import type { RunContext } from './execution-policy.ts';
import type { Courier } from './ports.ts';

/** Bytes of one answer of a server: its longest result, and JSON's and the protocol's own. */
const answerBytesMax = 1024 * 1024;
/** Tools of one server that are looked at, and pages that they come on. */
const toolsMax = 500;
const pagesMax = 20;
/** Bytes of JSON of one server's tools: lists are held, and an agent has room for far less. */
const listBytesMax = 1024 * 1024;

/** What bounds the requests of one use of a connection. */
export interface McpUse extends RunContext {
  /** By the monotonic clock. */
  readonly endsAtMs: number;
}

/** A server did not answer as it should: what that means to a call. */
export class McpUnanswered extends Error {
  override readonly name = 'McpUnanswered';

  constructor(
    readonly result: ToolResult,
    /** The session that the request belonged to is over: nothing of it was done. */
    readonly sessionOver: boolean,
  ) {
    super('an MCP server did not answer');
  }
}

export interface McpServer {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * One session with an MCP server. Each request is one POST through the egress client, read to its
 * end within the limits of the use that it belongs to; a stream that the server may open to us by
 * itself is not asked for.
 */
export class McpConnection {
  readonly #client = new Client({ name: 'millrace-tool-runner', version: '0.1.0' });
  readonly #uses = new AsyncLocalStorage<McpUse>();
  readonly #courier: Courier;
  readonly #server: McpServer;
  #usesUnderWay = 0;
  #letGo = false;

  private constructor(courier: Courier, server: McpServer) {
    this.#courier = courier;
    this.#server = server;
  }

  /** @throws McpUnanswered, or what the SDK throws for an answer that is against the protocol. */
  static async open(courier: Courier, server: McpServer, use: McpUse): Promise<McpConnection> {
    const connection = new McpConnection(courier, server);
    await connection.#uses.run(use, () => connection.#connect(use));
    return connection;
  }

  /** @throws as `open` does. */
  listTools(use: McpUse): Promise<McpTool[]> {
    return this.#used(use, async () => {
      const tools: McpTool[] = [];
      let cursor: string | undefined;
      let bytes = 0;
      for (let page = 0; page < pagesMax && tools.length < toolsMax; page += 1) {
        const params = cursor === undefined ? {} : { cursor };
        // Not by the client's own methods: they compile the schemas of servers into code.
        const asked = { method: 'tools/list' as const, params };
        const found = await this.#client.request(asked, ListToolsResultSchema, optionsOf(use));
        const listed = z.array(mcpToolSchema).parse(found.tools);
        bytes += Buffer.byteLength(JSON.stringify(listed));
        if (bytes > listBytesMax) throw new McpUnanswered(tooLong, false);
        tools.push(...listed);
        cursor = found.nextCursor;
        if (cursor === undefined) break;
      }
      return tools.slice(0, toolsMax);
    });
  }

  /** @throws as `open` does. */
  callTool(name: string, args: Record<string, unknown>, use: McpUse): Promise<unknown> {
    const asked = { method: 'tools/call' as const, params: { name, arguments: args } };
    return this.#used(use, () =>
      this.#client.request(asked, CallToolResultSchema, optionsOf(use)),
    );
  }

  /** Lets go of the session: at once, or when the last use of it is over. */
  async close(): Promise<void> {
    this.#letGo = true;
    if (this.#usesUnderWay === 0) await this.#client.close();
  }

  /** A call that is cut off would be made again, although the server may have carried it out. */
  async #used<T>(use: McpUse, work: () => Promise<T>): Promise<T> {
    this.#usesUnderWay += 1;
    try {
      return await this.#uses.run(use, work);
    } finally {
      this.#usesUnderWay -= 1;
      if (this.#letGo && this.#usesUnderWay === 0) await this.#client.close();
    }
  }

  async #connect(use: McpUse): Promise<void> {
    const transport = new StreamableHTTPClientTransport(new URL(this.#server.url), {
      fetch: (url, init) => this.#fetch(url, init),
      requestInit: { redirect: 'manual' },
      reconnectionOptions: noReconnection,
    });
    if (!isTransport(transport)) throw new TypeError('a transport without a start');
    await this.#client.connect(transport, optionsOf(use));
  }

  readonly #fetch: FetchLike = async (url, init) => {
    const use = this.#uses.getStore();
    // The stream of the server's own messages: "not offered" is an answer that the protocol knows.
    if (init?.method !== 'POST') return new Response(null, { status: 405 });
    if (use === undefined) throw new TypeError('a request outside of any use');
    const timeoutMs = Math.max(1, use.endsAtMs - performance.now());
    use.checkLease();
    const result = await this.#courier.exchange({
      url: String(url),
      headers: {
        ...this.#server.headers,
        ...Object.fromEntries(new Headers(init.headers)),
        'user-agent': userAgent,
        ...use.traceHeaders,
      },
      body: Buffer.from(typeof init.body === 'string' ? init.body : ''),
      signal: use.signal,
      timeoutMs,
      bodyBytesMax: answerBytesMax,
    });
    if (result.kind === 'response' && isGood(result.status) && !result.cut) {
      const { body, headers, status } = result;
      const type = headers['content-type'];
      const session = headers['mcp-session-id'];
      return new Response(hasBody(status) ? new Uint8Array(body) : null, {
        status,
        headers: {
          ...(type === undefined ? {} : { 'content-type': type }),
          ...(session === undefined ? {} : { 'mcp-session-id': session }),
        },
      });
    }
    const sessionOver = result.kind === 'response' && result.status === 404;
    const context = { bytesMax: answerBytesMax, timeoutMs, nowMs: Date.now() };
    throw new McpUnanswered(httpResult(result, context), sessionOver);
  };
}

const tooLong = {
  kind: 'failure',
  failure: {
    code: 'result_too_large',
    detail: `the list of its tools has more than ${listBytesMax} bytes`,
  },
  transient: false,
  class: 'too_large',
} as const satisfies ToolResult;

const noReconnection = {
  initialReconnectionDelay: 1_000,
  maxReconnectionDelay: 1_000,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 0,
};

/** The SDK's own clock is a little behind ours, which knows what a failure means. */
const graceMs = 250;

function optionsOf({ endsAtMs, signal }: McpUse) {
  return { timeout: Math.max(1, endsAtMs - performance.now()) + graceMs, signal };
}

/** The SDK's own classes do not fit each other when optional means absent. */
function isTransport(value: object): value is Transport {
  return 'start' in value;
}

function isGood(status: number): boolean {
  return status >= 200 && status < 300;
}

function hasBody(status: number): boolean {
  return status !== 202 && status !== 204 && status !== 205;
}
