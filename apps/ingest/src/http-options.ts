import { randomBytes } from 'node:crypto';

import { errorCodes, httpBodyBytesMax } from '@millrace/contracts';

import { codeOfStatus, problemDocument } from './core/problem.ts';

/** A request that is not here whole by then is given up: a trickle must not hold a connection. */
const requestMsMax = 30_000;

/** The part of Fastify's request and reply that an error before any hook needs. */
interface BareRequest {
  readonly url: string;
}
interface BareReply {
  status(code: number): unknown;
  header(name: string, value: string): unknown;
  send(body?: unknown): unknown;
}

/** What this service wants of Fastify, beyond what every service has. */
export const httpOptions = {
  bodyLimit: httpBodyBytesMax,
  requestTimeout: requestMsMax,
  frameworkErrors: answerEarly,
};

/** A path that cannot be decoded is refused before any hook or filter is there. */
function answerEarly(
  error: { readonly statusCode?: number | undefined },
  request: BareRequest,
  reply: BareReply,
): void {
  const code = codeOfStatus(error.statusCode ?? 500);
  const told = { code, detail: errorCodes[code].title, errors: [] };
  const [path = '/'] = request.url.split('?');
  const problem = problemDocument(told, { traceId: randomBytes(16).toString('hex'), path });
  reply.status(problem.status);
  reply.header('content-type', 'application/problem+json');
  reply.send(JSON.stringify(problem));
}
