import type { IncomingHttpHeaders } from 'node:http';

import {
  receiveWebhook,
  webhookBytesMax,
  type WebhookReceiverOptions,
} from './webhook-receiver.ts';

interface Reply {
  status(code: number): Reply;
  send(body: unknown): unknown;
}

type ParsedBody = (error: Error | null, body?: unknown) => void;

/** As much of a Fastify instance as is needed: this package does not bring Fastify. */
interface Server {
  addContentTypeParser(
    type: string,
    options: { parseAs: 'buffer'; bodyLimit: number },
    parse: (request: unknown, body: Buffer, done: ParsedBody) => void,
  ): unknown;
  removeAllContentTypeParsers(): unknown;
  post(
    path: string,
    handler: (
      request: { headers: IncomingHttpHeaders; body: unknown },
      reply: Reply,
    ) => Promise<unknown>,
  ): unknown;
}

export interface FastifyWebhookOptions extends WebhookReceiverOptions {
  readonly path: string;
}

/**
 * A plugin for Fastify: `app.register(fastifyWebhook, { path: '/hooks', secret, handler })`. It is
 * encapsulated, so that other routes keep their parsers.
 */
export async function fastifyWebhook(
  server: Server,
  options: FastifyWebhookOptions,
): Promise<void> {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(
    '*',
    { parseAs: 'buffer', bodyLimit: webhookBytesMax },
    (_request, body, done) => done(null, body),
  );
  server.post(options.path, async ({ headers, body }, reply) => {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
    const answer = await receiveWebhook({ headers, body: bytes }, options);
    return reply.status(answer.status).send(answer.body);
  });
}
