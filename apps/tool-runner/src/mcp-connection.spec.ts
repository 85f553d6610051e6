import { describe, expect, it } from '@jest/globals';
import type { ExchangeRequest, ExchangeResult } from '@millrace/egress';
import { z } from 'zod';

import { McpConnection } from './mcp-connection.ts';
import { Courier } from './ports.ts';

const messageSchema = z.object({ id: z.number().optional(), method: z.string() });

/** A server that answers a tool's call when it is let. */
class SlowServer extends Courier {
  readonly called = Promise.withResolvers<void>();
  readonly answered = Promise.withResolvers<void>();
  pages = 0;

  async exchange({ body }: ExchangeRequest): Promise<ExchangeResult> {
    const { id, method } = messageSchema.parse(JSON.parse(body.toString()));
    if (id === undefined) return response(202, '');
    if (method === 'tools/call') {
      this.called.resolve();
      await this.answered.promise;
    }
    if (method === 'tools/list') this.pages += 1;
    const result = answers[method] ?? done;
    return response(200, JSON.stringify({ jsonrpc: '2.0', id, result }));
  }
}

const welcome = {
  protocolVersion: '2025-06-18',
  capabilities: {},
  serverInfo: { name: 'slow', version: '1' },
};
const endless = {
  tools: [{ name: 'long', description: 'x'.repeat(600_000), inputSchema: { type: 'object' } }],
  nextCursor: 'more',
};
const answers: Readonly<Record<string, object>> = { initialize: welcome, 'tools/list': endless };
const done = { content: [{ type: 'text', text: 'done' }] };

function response(status: number, body: string): ExchangeResult {
  const headers = { 'content-type': 'application/json' };
  const timings = { totalMs: 1 };
  return { kind: 'response', status, headers, body: Buffer.from(body), cut: false, timings };
}

function use() {
  const { signal } = new AbortController();
  const checkLease = (): void => undefined;
  return { endsAtMs: performance.now() + 10_000, signal, checkLease, traceHeaders: {} };
}

describe('a session with an MCP server', () => {
  it('reads a list of tools up to a MiB, however many pages there are', async () => {
    const server = new SlowServer();
    const target = { url: 'https://mcp.example/mcp', headers: {} };
    const connection = await McpConnection.open(server, target, use());
    await expect(connection.listTools(use())).rejects.toMatchObject({
      result: { failure: { code: 'result_too_large' } },
    });
    expect(server.pages).toBe(2);
  });

  it('that is let go of ends after the calls that it is used for', async () => {
    const server = new SlowServer();
    const target = { url: 'https://mcp.example/mcp', headers: {} };
    const connection = await McpConnection.open(server, target, use());
    const call = connection.callTool('slow', {}, use());
    await server.called.promise;
    await connection.close();
    server.answered.resolve();
    await expect(call).resolves.toMatchObject({ content: [{ text: 'done' }] });
    await expect(connection.callTool('slow', {}, use())).rejects.toThrow(/not connected/i);
  });
});
