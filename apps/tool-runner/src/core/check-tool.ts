import {
  toolSchemaBytesMax,
  toolSchemaDepthMax,
  toolSubmissionSchema,
  type ToolSubmission,
} from '@millrace/contracts';

import { isDeeperThan } from './json-depth.ts';
import { ProblemError, type FieldError } from './problem.ts';
import { redactedValue } from './tool.ts';
import { toolNameError } from './tool-name.ts';

/** Bytes of a submission: two schemas, a description, sixteen headers, and JSON's own. */
export const submissionBytesMax = 192 * 1024;
/** Entries of a problem's list: enough to mend a request, too few to amplify an attack. */
const fieldErrorsMax = 20;

/** What has to be known about URLs and schemas beyond this. Null: nothing is wrong. */
export interface ToolChecks {
  readonly urlError: (url: string) => string | null;
  readonly schemaError: (schema: Readonly<Record<string, unknown>>) => string | null;
}

/**
 * A tool as it is to be registered.
 * @throws ProblemError that lists what is wrong.
 */
export function checkTool(name: string, body: unknown, checks: ToolChecks): ToolSubmission {
  const nameError = toolNameError(name);
  if (nameError !== null) throw invalid([{ path: 'name', message: nameError }]);
  // The tool's own levels stand around the schema's.
  if (isDeeperThan(body, toolSchemaDepthMax + 2)) {
    throw invalid([{ path: '', message: `is nested deeper than ${toolSchemaDepthMax} levels` }]);
  }
  const parsed = toolSubmissionSchema.safeParse(body);
  if (!parsed.success) {
    throw invalid(
      parsed.error.issues.map(({ path, message }) => ({
        path: path.map(String).join('.'),
        message,
      })),
    );
  }
  const errors = [...targetErrors(parsed.data, checks), ...schemaErrors(parsed.data, checks)];
  if (errors.length > 0) throw invalid(errors);
  return parsed.data;
}

function invalid(errors: readonly FieldError[]): ProblemError {
  const detail = 'a field is missing, unknown or of the wrong type';
  return new ProblemError('invalid_request', detail, errors.slice(0, fieldErrorsMax));
}

function targetErrors({ target }: ToolSubmission, { urlError }: ToolChecks): FieldError[] {
  if (target.kind === 'worker') return [];
  const error = urlError(target.url);
  return [
    ...(error === null ? [] : [{ path: 'target.url', message: error }]),
    ...Object.entries(target.headers ?? {}).flatMap(([name, value]) => {
      const message = headerError(name, value);
      return message === null ? [] : [{ path: `target.headers.${name}`, message }];
    }),
  ];
}

/** Headers that are ours, or the connection's. */
const ownHeaders =
  /^(?:host|connection|content-(?:type|length|encoding)|transfer-encoding|upgrade|expect|te|trailer|accept|keep-alive|proxy-.*|webhook-.*|x-webhook-signature|idempotency-key|traceparent|tracestate|user-agent|mcp-.*|last-event-id)$/i;

function headerError(name: string, value: string): string | null {
  if (ownHeaders.test(name)) return 'is a header that is set here';
  if (value === redactedValue) return 'is not the value, but what stands for it where it is shown';
  return /^[\x20-\x7e]*$/.test(value) ? null : 'must be visible ASCII characters';
}

function schemaErrors(tool: ToolSubmission, { schemaError }: ToolChecks): FieldError[] {
  return (['input_schema', 'output_schema'] as const).flatMap((path) => {
    const schema = tool[path];
    if (schema === undefined) return [];
    const message =
      JSON.stringify(schema).length > toolSchemaBytesMax
        ? `is longer than ${toolSchemaBytesMax} bytes`
        : schemaError(schema);
    return message === null ? [] : [{ path, message }];
  });
}
