import type { LoggerService } from '@nestjs/common';

import type { Logger } from './logger.ts';

/** Nest's own lines as ours. What it tells of a normal boot is debug output to an operator. */
export class NestLogger implements LoggerService {
  private readonly sink: Logger;

  constructor(log: Logger) {
    this.sink = log;
  }

  log(message: unknown, ...rest: unknown[]): void {
    this.sink.debug(nestFields(rest), text(message));
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.sink.debug(nestFields(rest), text(message));
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.sink.debug(nestFields(rest), text(message));
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.sink.warn(nestFields(rest), text(message));
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.sink.error({ ...nestFields(rest), ...errorField(message) }, text(message));
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.error(message, ...rest);
  }
}

/** Nest gives `(message, stack?, context?)` with strings, in which only the last is sure. */
function nestFields(rest: readonly unknown[]): Record<string, unknown> {
  const source = rest.at(-1);
  return typeof source === 'string' ? { nest: source } : {};
}

function errorField(message: unknown): Record<string, unknown> {
  return message instanceof Error ? { error: message } : {};
}

function text(message: unknown): string {
  if (typeof message === 'string') return message;
  return message instanceof Error ? message.message : JSON.stringify(message);
}
