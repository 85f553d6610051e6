import { errorCodeSchema, errorCodes, fieldErrorSchema } from '@millrace/contracts';
import { z } from 'zod';

import { ProblemError } from './problem.ts';

/** What of a problem document is told on: trace and path are those of the caller's own request. */
const problemSchema = z.object({
  code: errorCodeSchema,
  detail: z.string(),
  errors: z.array(fieldErrorSchema).optional(),
});

/** The problem that another service answered with, or null when its answer is none of ours. */
export function problemOf(answer: {
  readonly status: number;
  readonly body: string;
}): ProblemError | null {
  const problem = problemSchema.safeParse(readJson(answer.body));
  if (!problem.success) return null;
  const { code, detail, errors } = problem.data;
  return errorCodes[code].status === answer.status ? new ProblemError(code, detail, errors) : null;
}

function readJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch {
    return null;
  }
}
