import { httpHeaders } from '@millrace/contracts';
import { Logger, injectTrace } from '@millrace/runtime';

import { InternalService, type InternalAnswer, type InternalRequest } from '../ports.ts';

export interface InternalAddress {
  readonly url: string;
  readonly key: string;
}

export interface InternalHttpOptions {
  /** For log lines. */
  readonly service: string;
  /** Null when this deployment gives none. */
  readonly address: InternalAddress | null;
  /** Somebody waits for the answer. */
  readonly answerMsMax: number;
  readonly answerBytesMax: number;
  readonly log: Logger;
}

/** Asks another service by HTTP, with the key that services show each other. */
export class InternalHttpService extends InternalService {
  constructor(private readonly options: InternalHttpOptions) {
    super();
  }

  async ask(request: InternalRequest): Promise<InternalAnswer | null> {
    const { address, answerBytesMax, answerMsMax, log, service } = this.options;
    if (address === null) return null;
    try {
      const response = await send(address, request, answerMsMax);
      return { status: response.status, body: await readBounded(response, answerBytesMax) };
    } catch (error) {
      const { context, method } = request;
      log.warn({ context, service, method, error }, 'a service could not be asked');
      return null;
    }
  }
}

function send(
  address: InternalAddress,
  { body, context, headers, method, path, query }: InternalRequest,
  answerMsMax: number,
): Promise<Response> {
  const target = new URL(path, address.url);
  target.search = new URLSearchParams(query).toString();
  return fetch(target, {
    method,
    headers: {
      ...headers,
      ...injectTrace(context),
      [httpHeaders.internalKey]: address.key,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body }),
    // The key is not carried on to wherever an answer points.
    redirect: 'error',
    signal: AbortSignal.timeout(answerMsMax),
  });
}

async function readBounded(response: Response, bytesMax: number): Promise<string> {
  const body: AsyncIterable<Uint8Array> | null = response.body;
  if (body === null) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop early cancels the body.
  for await (const part of body) {
    bytes += part.length;
    if (bytes > bytesMax) throw new TypeError(`it answered over ${bytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
