import type { Context } from '@opentelemetry/api';
import { context as activeContext, isSpanContextValid, trace } from '@opentelemetry/api';
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields of one log line. Ids yes; secrets and payloads never. */
export interface LogFields {
  /** Whose `trace_id` and `span_id` the line carries; the active context when absent. */
  readonly context?: Context | undefined;
  readonly event?: string;
  readonly job_id?: string | undefined;
  readonly error?: unknown;
  readonly [name: string]: unknown;
}

/** One JSON object a line. An abstract class, so that Nest can inject it. */
export abstract class Logger {
  abstract debug(fields: LogFields, message: string): void;
  abstract info(fields: LogFields, message: string): void;
  abstract warn(fields: LogFields, message: string): void;
  abstract error(fields: LogFields, message: string): void;
  /** A logger whose every line carries these fields too. */
  abstract child(fields: LogFields): Logger;
}

/** Lines up to this many bytes are written together: a write for each line cost 5 % of the CPU. */
const bufferedBytesMax = 8 * 1024;
/** How long a line may wait; one above `info`, and the last ones of a process, never do. */
const bufferedMsMax = 100;

export interface LoggerOptions {
  readonly service: string;
  readonly level: LogLevel;
  /** Where lines go: the process's standard output when absent. */
  readonly destination?: { write(line: string): void };
}

/** @returns the logger of a service. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    base: { service: options.service },
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: serializeError },
  };
  if (options.destination !== undefined) {
    return new PinoLogger(pino(settings, options.destination), () => undefined);
  }
  const target = bufferedOutput();
  return new PinoLogger(pino(settings, target), () => target.flushSync());
}

function bufferedOutput() {
  const target = pino.destination({
    fd: 1,
    sync: true,
    minLength: bufferedBytesMax,
    periodicFlush: bufferedMsMax,
  });
  process.on('exit', () => target.flushSync());
  return target;
}

type PinoSink = ReturnType<typeof pino>;

class PinoLogger extends Logger {
  constructor(
    private readonly sink: PinoSink,
    /** Writes what waits: the last lines before a crash are the ones that are needed. */
    private readonly flush: () => void,
  ) {
    super();
  }

  debug(fields: LogFields, message: string): void {
    if (this.sink.isLevelEnabled('debug')) this.sink.debug(withTrace(fields), message);
  }

  info(fields: LogFields, message: string): void {
    if (this.sink.isLevelEnabled('info')) this.sink.info(withTrace(fields), message);
  }

  warn(fields: LogFields, message: string): void {
    if (!this.sink.isLevelEnabled('warn')) return;
    this.sink.warn(withTrace(fields), message);
    this.flush();
  }

  error(fields: LogFields, message: string): void {
    this.sink.error(withTrace(fields), message);
    this.flush();
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.sink.child(withoutContext(fields)), this.flush);
  }
}

function withTrace(fields: LogFields): Record<string, unknown> {
  const span = trace.getSpanContext(fields.context ?? activeContext.active());
  const line = withoutContext(fields);
  if (span === undefined || !isSpanContextValid(span)) return line;
  line['trace_id'] = span.traceId;
  line['span_id'] = span.spanId;
  return line;
}

function withoutContext(fields: LogFields): Record<string, unknown> {
  const { context: _context, ...line } = fields;
  return line;
}

function serializeError(error: unknown): unknown {
  return error instanceof Error ? pino.stdSerializers.err(error) : error;
}

/** Says nothing: for specs, and where a logger is optional. */
export class SilentLogger extends Logger {
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(): void {}
  child(): Logger {
    return this;
  }
}
