import { isConnectionLost } from '@millrace/postgres';
import { InternalProblemFilter, Logger } from '@millrace/runtime';
import { Catch } from '@nestjs/common';

/** Answers every error of a management route as an RFC 9457 document. */
@Catch()
export class ProblemFilter extends InternalProblemFilter {
  constructor(log: Logger) {
    super(log, isConnectionLost);
  }
}
