import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

export interface Asked {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly type: string | undefined;
  /** Null: nothing was sent. */
  readonly text: string | null;
}

/** Command lines against a server that answers as it is told, and keeps what it was asked last. */
export class TypedLine {
  answer: { status: number; body?: unknown } = { status: 200 };
  asked: Asked | null = null;
  readonly #server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { headers, method, url } = request;
      const text = parts.length === 0 ? null : Buffer.concat(parts).toString();
      this.asked = { method, url, type: headers['content-type'], text };
      const { body, status } = this.answer;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(body === undefined ? '' : JSON.stringify(body));
    });
  });

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  close(): void {
    this.#server.close();
  }

  /** What `millrace WORDS` says, and its exit status. */
  async typed(...words: string[]) {
    const said = { out: '', error: '' };
    const { port } = this.#server.address() as AddressInfo;
    const status = await runCommandLine(words, {
      commands,
      readConfig: () => ({ url: `http://127.0.0.1:${port}`, keyOf: (holder) => `mr_${holder}` }),
      terminal: {
        out: (text) => void (said.out += `${text}\n`),
        error: (text) => void (said.error += `${text}\n`),
      },
    });
    return { status, ...said };
  }
}
