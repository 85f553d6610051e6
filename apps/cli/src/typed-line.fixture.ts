import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

export interface Asked {
  /** `GET /v1/jobs` */
  readonly route: string;
  /** Whose key was shown. */
  readonly by: string | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

/** Command lines against a server that answers as it is told, and keeps what it was asked. */
export class TypedLine {
  asked: Asked[] = [];
  #answers: unknown[] = [];
  readonly #server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { headers, method, url } = request;
      this.asked.push({
        route: `${method} ${url}`,
        by: headers.authorization,
        type: headers['content-type'],
        body: Buffer.concat(parts).toString(),
      });
      const [answer] = this.#answers;
      if (this.#answers.length > 1) this.#answers.shift();
      const status = answer === undefined ? 204 : 200;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(answer === undefined ? '' : JSON.stringify(answer));
    });
  });

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  close(): void {
    this.#server.close();
  }

  /** Bodies that it answers with, one after the other; the last one stays. None: it has no body. */
  answers(...bodies: unknown[]): void {
    this.#answers = bodies;
    this.asked = [];
  }

  /** The bodies that it was asked with, as JSON; null where there was none. */
  get bodies(): unknown[] {
    return this.asked.map(({ body }) => (body === '' ? null : JSON.parse(body)));
  }

  get routes(): string[] {
    return this.asked.map(({ route }) => route);
  }

  /** What `millrace WORDS` says, and its exit status. */
  async typed(line: string | readonly string[]) {
    const said = { out: '', error: '' };
    const { port } = this.#server.address() as AddressInfo;
    const words = typeof line === 'string' ? line.split(' ') : line;
    const status = await runCommandLine(words, {
      commands,
      readConfig: () => ({ url: `http://127.0.0.1:${port}`, keyOf: (holder) => holder }),
      terminal: {
        out: (text) => void (said.out += `${text}\n`),
        error: (text) => void (said.error += `${text}\n`),
      },
    });
    return { status, ...said };
  }

  /** All that it says to a line when it is answered so. */
  async said(line: string, ...told: unknown[]): Promise<string> {
    this.answers(...told);
    const { error, out } = await this.typed(line);
    return out + error;
  }
}
