import { createServer, type Server } from 'node:http';

import type { ToolSend } from '../../chaos/agent-history.ts';
import { SendRecord } from '../../chaos/send-record.mjs';

/** One call of a tool, as it arrived. */
export interface ReceivedCall {
  readonly path: string;
  readonly callId: string;
  readonly jobId: string;
  readonly arguments: unknown;
  readonly idempotencyKey: string;
}

interface Body {
  readonly call_id: string;
  readonly job_id: string;
  readonly arguments: unknown;
}

/** What `/works` takes: long enough to be killed in the middle of it. */
const workMs = 400;

/** A tenant's server of tools (labelled fake: the far edge). Says what it was asked. */
export class ToolServer {
  readonly calls: ReceivedCall[] = [];
  /** What a call is answered with, when it resolves. */
  answer: (call: ReceivedCall) => unknown = ({ path, ...call }) => ({
    path,
    saw: call.arguments,
  });
  private readonly server: Server;
  private readonly record = new SendRecord();

  private constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body: Body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
        const path = request.url ?? '/';
        const idempotencyKey = String(request.headers['idempotency-key']);
        const callId = body.call_id;
        const call = {
          path,
          callId,
          jobId: body.job_id,
          arguments: body.arguments,
          idempotencyKey,
        };
        this.calls.push(call);
        this.record.add({ request, response, facts: { callId, idempotencyKey } });
        // One that is never answered: whoever waits is cut off by the close.
        if (path === '/hangs') return;
        const answer = (): void => {
          response.setHeader('content-type', 'application/json');
          void Promise.resolve(this.answer(call)).then((said) => {
            response.end(JSON.stringify(said));
          });
        };
        if (path === '/works') setTimeout(answer, workMs);
        else answer();
      });
    });
    this.record.watch(this.server);
  }

  /** Every call, with what became of its connection. */
  get sends(): readonly ToolSend[] {
    return this.record.sends;
  }

  static async listen(): Promise<ToolServer> {
    const server = new ToolServer();
    await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  url(path: string): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `http://127.0.0.1:${address.port}${path}`;
  }

  of(jobId: string): ReceivedCall[] {
    return this.calls.filter((call) => call.jobId === jobId);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
