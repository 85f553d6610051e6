import { errorCodes, type ErrorCode, type Problem } from '@millrace/contracts';

export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** An error that the caller of a management route is to be told. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly code: ErrorCode;
  readonly detail: string;
  readonly errors: readonly FieldError[];

  constructor(code: ErrorCode, detail: string, errors: readonly FieldError[] = []) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.errors = errors;
  }
}

/** An RFC 9457 document. */
export function problemDocument({ code, detail, errors }: ProblemError): Problem {
  const { status, title } = errorCodes[code];
  return {
    type: `urn:millrace:error:${code}`,
    title,
    status: status ?? 500,
    detail,
    code,
    ...(errors.length === 0 ? {} : { errors: [...errors] }),
  };
}

/** The code of an error that the HTTP server found by itself, before any route. */
export function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 404:
      return 'not_found';
    case 413:
      return 'payload_too_large';
    case 415:
      return 'unsupported_media_type';
    default:
      return status >= 400 && status < 500 ? 'invalid_request' : 'internal';
  }
}
