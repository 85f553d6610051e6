import type { Socket } from 'node:net';

import { httpBodyBytesMax, type Problem } from '@millrace/contracts';
import { isConnectionLost } from '@millrace/postgres';
import { Logger, names, traceIdOf } from '@millrace/runtime';
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { ProblemError, errorOfStatus, problemDocument, retryAfterOf } from './core/problem.ts';
import { RequestFacts } from './request-facts.ts';
import { bodyLengthOf } from './requests-in-flight.ts';

/** For the answer to arrive, and for the client to stop sending. */
const lingerMs = 500;

/** Answers every error of the API, whoever found it, as an RFC 9457 document. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly requests: RequestFacts,
    private readonly log: Logger,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    // A stream that has begun cannot become a problem document any more.
    if (reply.sent || reply.raw.headersSent) {
      reply.raw.destroy();
      return;
    }
    const told = toldError(error);
    const problem = this.problemOf({ told, error }, request);
    const retryAfter = retryAfterOf(told);
    if (retryAfter !== null) void reply.header('retry-after', String(retryAfter));
    if (hasEndlessBody(request)) {
      void reply.header('connection', 'close');
      closeGently(request.raw.socket);
    }
    if (problem.code === 'unauthorized') void reply.header('www-authenticate', 'Bearer');
    void reply
      .status(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem));
  }

  private problemOf(
    { told, error }: { readonly told: ProblemError; readonly error: unknown },
    request: FastifyRequest,
  ): Problem {
    const context = this.requests.contextOf(request);
    if (told.code === 'internal') {
      this.log.error({ event: names.event.httpRequest, context, error }, 'a request failed');
    }
    const [path = '/'] = request.url.split('?');
    return problemDocument(told, { traceId: traceIdOf(context) ?? '', path });
  }
}

/**
 * Whether the rest of a body is not worth waiting for. One of an allowed length is read over, so
 * that its sender hears the answer; one that may be of any length ends with its connection.
 */
function hasEndlessBody({ raw, headers }: FastifyRequest): boolean {
  if (raw.complete) return false;
  return headers['transfer-encoding'] !== undefined || bodyLengthOf(headers) > httpBodyBytesMax;
}

/**
 * Lets the client read the answer before the connection goes: a close with bytes unread is a reset,
 * which may overtake it.
 */
function closeGently(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(timer));
  };
}

/** Classifies an error where it leaves: ours, the framework's, lost infrastructure, or a bug. */
function toldError(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (isConnectionLost(error)) {
    return new ProblemError('unavailable', 'the database cannot be reached now');
  }
  if (isStatementTimeout(error)) {
    return new ProblemError('unavailable', 'the database took too long: ask for less of it');
  }
  return errorOfStatus(statusOf(error));
}

/** A filter of the list that hardly any job meets may read all of a tenant's jobs. */
function isStatementTimeout(error: unknown): boolean {
  const isDatabases = typeof error === 'object' && error !== null && 'code' in error;
  return isDatabases && error.code === '57014';
}

function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const isFastifys = typeof error === 'object' && error !== null && 'statusCode' in error;
  return isFastifys && typeof error.statusCode === 'number' ? error.statusCode : 500;
}
