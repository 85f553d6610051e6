import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { z } from 'zod';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';

jest.setTimeout(60_000);

/** A real MCP server, made with the official SDK: a session a client. */
class SampleMcpServer {
  readonly sessions = new Map<string, StreamableHTTPServerTransport>();
  readonly calls: { tool: string; headers: IncomingMessage['headers'] }[] = [];
  opened = 0;
  listed = 0;
  readonly #http: Server = createServer((request, response) => {
    void this.#handle(request, response);
  });

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#http.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    const address = this.#http.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `http://127.0.0.1:${address.port}/mcp`;
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers['x-key'] !== 'of the server') {
      response.writeHead(401).end();
      return;
    }
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? this.sessions.get(id) : undefined;
    if (typeof id === 'string' && known === undefined) {
      response.writeHead(404).end();
      return;
    }
    const transport = known ?? (await this.#open());
    await transport.handleRequest(request, response);
  }

  async #open(): Promise<StreamableHTTPServerTransport> {
    this.opened += 1;
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void this.sessions.set(id, transport),
    });
    const server = this.#tools();
    await server.connect(Object.assign(transport));
    return transport;
  }

  #tools(): McpServer {
    const server = new McpServer({ name: 'sample', version: '1.0.0' });
    const called = (tool: string, { requestInfo }: { requestInfo?: { headers: object } }) => {
      this.calls.push({ tool, headers: { ...requestInfo?.headers } });
    };
    server.registerTool(
      'add',
      {
        description: 'Adds two numbers',
        inputSchema: { a: z.number(), b: z.number() },
        outputSchema: { sum: z.number() },
      },
      ({ a, b }, extra) => {
        called('add', extra);
        const structuredContent = { sum: a + b };
        return { content: [{ type: 'text', text: String(a + b) }], structuredContent };
      },
    );
    server.registerTool('say', { description: 'Says it', inputSchema: {} }, (extra) => {
      called('say', extra);
      return {
        content: [
          { type: 'text', text: 'one' },
          { type: 'image', data: 'AAAA', mimeType: 'image/png' },
        ],
      };
    });
    server.registerTool('fail', { inputSchema: {} }, () => ({
      content: [{ type: 'text', text: 'it is broken' }],
      isError: true,
    }));
    server.registerTool('hang', { inputSchema: {} }, () => new Promise<never>(() => undefined));
    server.registerTool('flood', { inputSchema: {} }, () => ({
      content: [{ type: 'text', text: 'a'.repeat(3 * 1024 * 1024) }],
    }));
    return server;
  }
}

let runner: RunningToolRunner;
let server: SampleMcpServer;

beforeAll(async () => {
  [runner, server] = await Promise.all([
    RunningToolRunner.start(),
    new SampleMcpServer().listen(),
  ]);
  await runner.register('sample', '', {
    target: { kind: 'mcp', url: server.url, headers: { 'x-key': 'of the server' } },
    input_schema: undefined,
    effect: 'read',
    timeout_seconds: 1,
    retries: 0,
  });
});
afterAll(async () => {
  await runner?.stop();
  await server?.close();
});

describe('the tools of an MCP server', () => {
  it('are told under the name of their server, all of them or the one that is named', async () => {
    const all = await runner.described('list/t1', ['sample', 'sample__nothing']);
    expect(all.tools.map(({ name }) => name)).toEqual([
      'sample__add',
      'sample__say',
      'sample__fail',
      'sample__hang',
      'sample__flood',
    ]);
    expect(all.missing).toEqual([
      { name: 'sample__nothing', detail: 'the server has no tool of this name' },
    ]);
    expect(all.tools[0]).toMatchObject({
      version: 1,
      description: 'Adds two numbers',
      via: 'runner',
      effect: 'read',
      input_schema: { type: 'object', required: ['a', 'b'] },
      output_schema: { properties: { sum: { type: 'number' } } },
    });
    const one = await runner.described('list/t2', ['sample__say']);
    expect(one.tools.map(({ name }) => name)).toEqual(['sample__say']);
  });

  it('are called in one session, with the trace of the call', async () => {
    const facts = { tool: 'sample__add', arguments: { a: 1, b: 2 } };
    const added = await runner.call('add/t1', facts);
    expect(added).toMatchObject({ output: { sum: 3 }, attempts: 1 });
    await runner.call('add/t2', facts);
    const calls = server.calls.filter(({ tool }) => tool === 'add');
    expect(calls).toHaveLength(2);
    expect(calls[0]!.headers['traceparent']).toContain('a1a1a1');
    expect(server.opened).toBe(1);
  });

  it('answer with text, and with a word for what is none', async () => {
    const said = await runner.call('say/t1', { tool: 'sample__say' });
    expect(said.output).toBe('one\n[left out: image image/png]');
  });

  it('fail with what they say', async () => {
    const failed = await runner.call('fail/t1', { tool: 'sample__fail' });
    expect(failed.error).toEqual({ code: 'tool_failed', detail: 'it is broken' });
  });

  it('are refused arguments that do not fit', async () => {
    const failed = await runner.call('bad/t1', { tool: 'sample__add', arguments: { a: 'x' } });
    expect(failed).toMatchObject({ error: { code: 'tool_failed' }, attempts: 1 });
  });

  it('are given up after their time', async () => {
    const failed = await runner.call('hang/t1', { tool: 'sample__hang' });
    expect(failed).toMatchObject({ error: { code: 'tool_timeout' } });
  });

  it('are cut off when they flood', async () => {
    const failed = await runner.call('flood/t1', { tool: 'sample__flood' });
    expect(failed).toMatchObject({ error: { code: 'result_too_large' } });
  });

  it('are called in a new session when the server has forgotten the old one', async () => {
    server.sessions.clear();
    const facts = { tool: 'sample__add', arguments: { a: 2, b: 2 } };
    const added = await runner.call('again/t1', facts);
    expect(added).toMatchObject({ output: { sum: 4 }, attempts: 1 });
    expect(server.opened).toBe(2);
  });
});

describe('an MCP server that', () => {
  it('is away has no tools, and says why', async () => {
    await runner.register('away', '', {
      target: { kind: 'mcp', url: 'http://127.0.0.1:9/mcp' },
      input_schema: undefined,
    });
    const described = await runner.described('away/t1', ['away', 'sample__say']);
    expect(described.tools.map(({ name }) => name)).toEqual(['sample__say']);
    expect(described.missing).toEqual([
      { name: 'away', detail: 'the tool could not be reached (refused)', code: 'tool_failed' },
    ]);
  });

  it('does not let us in is told of with its status', async () => {
    await runner.register('locked', '', {
      target: { kind: 'mcp', url: server.url },
      input_schema: undefined,
    });
    const described = await runner.described('locked/t1', ['locked']);
    expect(described.missing).toEqual([
      { name: 'locked', detail: 'the tool answered 401', code: 'tool_failed' },
    ]);
  });
});
