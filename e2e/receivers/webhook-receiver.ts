import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';

/** One POST as it arrived: the raw bytes, since signatures are over those. */
export interface ReceivedWebhook {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly jobId: string;
}

/**
 * A subscriber's server (labelled fake: the far edge). Answers 200 unless `answer` says otherwise.
 */
export class WebhookReceiver {
  readonly received: ReceivedWebhook[] = [];
  private readonly server: Server;
  /** @returns the status for the n-th request (from 1) of a path. */
  answer: (path: string, count: number) => number = () => 200;

  private constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const path = request.url ?? '/';
        const body = Buffer.concat(chunks).toString('utf8');
        this.received.push({ path, headers: request.headers, body, jobId: jobIdOf(body) });
        response.statusCode = this.answer(path, this.at(path).length);
        response.end();
      });
    });
  }

  static async listen(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    await new Promise<void>((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  url(path: string): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `http://127.0.0.1:${address.port}${path}`;
  }

  at(path: string): ReceivedWebhook[] {
    return this.received.filter((webhook) => webhook.path === path);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

function jobIdOf(body: string): string {
  const parsed: { job_id?: string } = JSON.parse(body);
  return parsed.job_id ?? '';
}
