import type { IncomingMessage, ServerResponse } from 'node:http';

import {
  receiveWebhook,
  webhookBytesMax,
  type WebhookReceiverOptions,
} from './webhook-receiver.ts';

/** A request of Express, or of Node's own server: what a body parser left in it is looked at. */
type Request = IncomingMessage & { readonly body?: unknown };

/**
 * A handler for Express: `app.post('/hooks', expressWebhook({ secret, handler }))`. Mount it before
 * `express.json()`, or give this path `express.raw({ type: '*' + '/*' })`: signatures are of bytes.
 */
export function expressWebhook(options: WebhookReceiverOptions) {
  return (request: Request, response: ServerResponse, next: (error?: unknown) => void): void => {
    answer(request, response, options).catch(next);
  };
}

async function answer(
  request: Request,
  response: ServerResponse,
  options: WebhookReceiverOptions,
): Promise<void> {
  const body = await rawBodyOf(request);
  if (body === null) return send(response, 413, { error: 'payload_too_large' });
  const { headers } = request;
  const { status, body: told } = await receiveWebhook({ headers, body }, options);
  send(response, status, told);
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** @returns null for one above the limit. @throws TypeError when the bytes are gone. */
async function rawBodyOf(request: Request): Promise<Buffer | null> {
  if (Buffer.isBuffer(request.body)) return request.body;
  if (request.readableEnded) {
    throw new TypeError('the body was parsed already: mount expressWebhook before express.json()');
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stream: AsyncIterable<Buffer> = request;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > webhookBytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
