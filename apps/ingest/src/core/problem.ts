import { errorCodes, ProblemError, type ErrorCode, type Problem } from '@millrace/contracts';

export { ProblemError };

/** A refusal for now: the caller is told when to come again. */
export class RefusedForNow extends ProblemError {
  constructor(
    code: 'overloaded' | 'queue_full' | 'too_many_requests',
    detail: string,
    /** At least; whole seconds. */
    readonly retryAfterSeconds: number,
  ) {
    super(code, detail);
  }
}

/** Seconds after which a caller may try again what could not be answered or made durable. */
const retryAfterSeconds = 2;

/** The value of `Retry-After`, or null for an answer that another try would not change. */
export function retryAfterOf(error: ProblemError): number | null {
  if (error instanceof RefusedForNow) return error.retryAfterSeconds;
  return errorCodes[error.code].status === 503 ? retryAfterSeconds : null;
}

/** An RFC 9457 document. A code that is never on HTTP would be a bug, and is told as one. */
export function problemDocument(
  error: Pick<ProblemError, 'code' | 'detail' | 'errors'>,
  request: { readonly traceId: string; readonly path: string },
): Problem {
  const { status, title } = errorCodes[error.code];
  return {
    type: `urn:millrace:error:${error.code}`,
    title,
    status: status ?? 500,
    detail: error.detail,
    code: error.code,
    trace_id: request.traceId,
    instance: request.path,
    errors: error.errors.length === 0 ? undefined : [...error.errors],
  };
}

/** What the HTTP server found by itself, before any route. */
export function errorOfStatus(status: number): ProblemError {
  const code = codeOfStatus(status);
  return new ProblemError(code, code === 'not_found' ? noRoute : errorCodes[code].title);
}

const noRoute = 'there is no such route: /openapi.json lists them';

/** Of a request that no route takes. `methods` are those that its path takes: none, if unknown. */
export function errorOfNoRoute(methods: readonly string[]): ProblemError {
  if (methods.length === 0) return errorOfStatus(404);
  const detail = `this path takes ${methods.join(', ')}: /openapi.json says what for`;
  return new ProblemError('method_not_allowed', detail);
}

/** The code of an error that the HTTP server found by itself. */
export function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 404:
      return 'not_found';
    case 405:
      return 'method_not_allowed';
    case 408:
      return 'request_timeout';
    case 410:
      return 'gone';
    case 413:
      return 'payload_too_large';
    case 415:
      return 'unsupported_media_type';
    case 429:
      return 'too_many_requests';
    case 431:
      return 'headers_too_large';
    case 503:
      return 'unavailable';
    default:
      return status >= 400 && status < 500 ? 'invalid_request' : 'internal';
  }
}
