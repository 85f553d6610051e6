import type { FieldError } from '@millrace/contracts';
import type { z } from 'zod';

export type { FieldError };

/** Entries of a problem's list: enough to mend a request, too few to amplify an attack. */
export const fieldErrorsMax = 20;

/** Turns what zod found into the list of a problem document. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.slice(0, fieldErrorsMax).map((issue) => ({
    path: issue.path.map(String).join('.'),
    message: issue.message,
  }));
}

/** One line for a log, a dead letter or a failed job. */
export function describeErrors(errors: readonly FieldError[]): string {
  return errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
    .join('; ')
    .slice(0, describeLengthMax);
}

const describeLengthMax = 1_000;
