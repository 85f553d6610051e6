import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';

import { toolRunRequestedSchema } from '@millrace/contracts';
import { z } from 'zod';

const bodySchema = z.object({
  tool: z.string(),
  arguments: toolRunRequestedSchema.shape.arguments,
  call_id: z.string(),
  job_id: z.string(),
  attempt: z.number(),
});

/** One call as it arrived: the raw body, since the signature is over that. */
export interface ReceivedCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly raw: string;
  readonly body: z.infer<typeof bodySchema>;
}

/** How a path answers: the n-th call of it, from 1. */
export type Answer = (response: ServerResponse, call: ReceivedCall, count: number) => void;

/** A server of HTTP tools. A path that has no answer echoes the arguments. */
export class ToolServer {
  readonly calls: ReceivedCall[] = [];
  readonly #answers = new Map<string, Answer>();
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '/';
      const raw = Buffer.concat(chunks).toString('utf8');
      const call = { path, headers: request.headers, raw, body: bodySchema.parse(JSON.parse(raw)) };
      this.calls.push(call);
      const answer = this.#answers.get(path) ?? echo;
      answer(response, call, this.at(path).length);
    });
  });

  static async listen(): Promise<ToolServer> {
    const server = new ToolServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  url(path: string): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `http://127.0.0.1:${address.port}${path}`;
  }

  answers(path: string, answer: Answer): void {
    this.#answers.set(path, answer);
  }

  at(path: string): ReceivedCall[] {
    return this.calls.filter((call) => call.path === path);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const echo: Answer = (response, { body }) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ echoed: body.arguments }));
};
