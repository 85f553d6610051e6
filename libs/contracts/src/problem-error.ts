import type { z } from 'zod';

import { errorCodes, type ErrorCode, type Problem } from './errors.ts';

/** One thing wrong with a body, and where: as problem documents list them. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** An error that the caller of the API, or of a service's own route, is to be told. */
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

/** Entries of a problem's list: enough to mend a request, too few to amplify an attack. */
const fieldErrorsMax = 20;

/** A body or query in which these things are wrong. */
export function invalidRequest(errors: readonly FieldError[]): ProblemError {
  const detail = 'a field is missing, unknown or of the wrong type';
  return new ProblemError('invalid_request', detail, errors.slice(0, fieldErrorsMax));
}

/**
 * What has to follow a schema of the contract.
 * @throws ProblemError that lists what does not.
 */
export function parseRequest<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({
    path: path.map(String).join('.'),
    message,
  }));
  throw invalidRequest(errors);
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
