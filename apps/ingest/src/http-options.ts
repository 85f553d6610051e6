import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

import { errorCodes, httpBodyBytesMax, type ErrorCode } from '@millrace/contracts';
import { httpServerOptions, httpTimesDefault, type HttpTimes } from '@millrace/runtime';

import { codeOfStatus, problemDocument } from './core/problem.ts';

/** The part of Fastify's request and reply that an error before any hook needs. */
interface BareRequest {
  readonly url: string;
}
interface BareReply {
  status(code: number): unknown;
  header(name: string, value: string): unknown;
  send(body?: unknown): unknown;
}

/** What this service wants of Fastify. */
export function httpOptionsFor(times: HttpTimes) {
  return {
    ...httpServerOptions(times),
    bodyLimit: httpBodyBytesMax,
    frameworkErrors: answerEarly,
    clientErrorHandler: answerUnread,
  };
}

export const httpOptions = httpOptionsFor(httpTimesDefault);

/** A path that cannot be decoded is refused before any hook or filter is there. */
function answerEarly(
  error: { readonly statusCode?: number | undefined },
  request: BareRequest,
  reply: BareReply,
): void {
  const [path = '/'] = request.url.split('?');
  const code = codeOfStatus(error.statusCode ?? 500);
  const problem = problemText({ code, path, detail: errorCodes[code].title });
  reply.status(errorCodes[code].status ?? 500);
  reply.header('content-type', 'application/problem+json');
  reply.send(problem);
}

/** What is no HTTP, or came too slowly, is answered where there is no request yet, and closed. */
function answerUnread(error: { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { code, status, detail } = unread(error.code);
  const body = problemText({ code, path: '/', detail });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    'connection: close',
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

interface Unread {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: string;
}

function unread(code: string | undefined): Unread {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { code: 'request_timeout', status: 408, detail: errorCodes.request_timeout.title };
    case 'HPE_HEADER_OVERFLOW':
      return { code: 'headers_too_large', status: 431, detail: 'the headers are above 16 KiB' };
    default:
      return { code: 'invalid_request', status: 400, detail: 'this is no HTTP request' };
  }
}

function problemText(o: { code: ErrorCode; path: string; detail: string }): string {
  const { code, path, detail } = o;
  const traceId = randomBytes(16).toString('hex');
  return JSON.stringify(problemDocument({ code, detail, errors: [] }, { traceId, path }));
}
