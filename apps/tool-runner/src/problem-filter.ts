import { errorCodes } from '@millrace/contracts';
import { isConnectionLost } from '@millrace/postgres';
import { Logger } from '@millrace/runtime';
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

import { codeOfStatus, ProblemError, problemDocument } from './core/problem.ts';

/** Answers every error of a management route as an RFC 9457 document. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const problem = problemDocument(toldError(error));
    if (problem.code === 'internal') this.log.error({ error }, 'a request failed');
    void reply
      .status(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem));
  }
}

/** Classifies an error where it leaves: ours, the framework's, lost infrastructure, or a bug. */
function toldError(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (isConnectionLost(error)) {
    return new ProblemError('unavailable', 'the database cannot be reached now');
  }
  const code = codeOfStatus(statusOf(error));
  return new ProblemError(code, errorCodes[code].title);
}

function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const isFastifys = typeof error === 'object' && error !== null && 'statusCode' in error;
  return isFastifys && typeof error.statusCode === 'number' ? error.statusCode : 500;
}
