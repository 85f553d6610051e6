import { codeOfStatus, errorCodes, ProblemError, problemDocument } from '@millrace/contracts';
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

import type { Logger } from './logger.ts';

/** Answers every error of a management route as an RFC 9457 document, for ingest to hand on. */
@Catch()
export abstract class InternalProblemFilter implements ExceptionFilter {
  protected constructor(
    private readonly log: Logger,
    /** Whether an error says that the database is away: wait, then try again. */
    private readonly isOutage: (error: unknown) => boolean,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const problem = problemDocument(this.told(error));
    if (problem.code === 'internal') this.log.error({ error }, 'a request failed');
    void reply
      .status(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem));
  }

  /** Classifies an error where it leaves: ours, lost infrastructure, the framework's, or a bug. */
  private told(error: unknown): ProblemError {
    if (error instanceof ProblemError) return error;
    if (this.isOutage(error)) {
      return new ProblemError('unavailable', 'the database cannot be reached now');
    }
    const code = codeOfStatus(statusOf(error));
    return new ProblemError(code, errorCodes[code].title);
  }
}

function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const isFastifys = typeof error === 'object' && error !== null && 'statusCode' in error;
  return isFastifys && typeof error.statusCode === 'number' ? error.statusCode : 500;
}
