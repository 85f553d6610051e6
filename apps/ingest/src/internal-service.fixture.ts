import { createServer, type IncomingMessage, type Server } from 'node:http';

import { httpHeaders } from '@millrace/contracts';

export const internalKey = Buffer.alloc(32, 5).toString('base64url');

export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}

export interface Told {
  readonly status?: number;
  readonly body?: unknown;
  /** It never answers. */
  readonly silent?: boolean;
}

/** A fake of a service behind ingest: it answers what the spec says, to who has the key. */
export class FakeInternalService {
  readonly asked: Asked[] = [];
  private answer: (asked: Asked) => Told = () => ({ status: 404, body: {} });

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FakeInternalService> {
    const server = createServer();
    const fake = new FakeInternalService(server);
    server.on('request', (request: IncomingMessage, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const { headers, method = '' } = request;
        const url = new URL(request.url ?? '', 'http://internal');
        const asked = { method, url, headers, body: Buffer.concat(parts).toString() };
        fake.asked.push(asked);
        const hasKey = headers[httpHeaders.internalKey] === internalKey;
        const told = hasKey ? fake.answer(asked) : { status: 401, body: {} };
        if (told.silent === true) return;
        response.writeHead(told.status ?? 200, { 'content-type': 'application/json' });
        response.end(told.body === undefined ? '' : JSON.stringify(told.body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new TypeError('not listening');
    return `http://127.0.0.1:${address.port}`;
  }

  answers(answer: (asked: Asked) => Told): void {
    this.asked.length = 0;
    this.answer = answer;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
