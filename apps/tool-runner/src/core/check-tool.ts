import {
  invalidRequest,
  parseRequest,
  toolSchemaBytesMax,
  toolSchemaDepthMax,
  toolSubmissionSchema,
  type FieldError,
  type ToolSubmission,
} from '@millrace/contracts';
import { userHeaderError } from '@millrace/egress/core';

import { isDeeperThan } from './json-depth.ts';
import { toolNameError } from './tool-name.ts';

/** Bytes of a submission: two schemas, a description, sixteen headers, and JSON's own. */
export const submissionBytesMax = 192 * 1024;

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
  if (nameError !== null) throw invalidRequest([{ path: 'name', message: nameError }]);
  // The tool's own levels stand around the schema's.
  if (isDeeperThan(body, toolSchemaDepthMax + 2)) {
    const message = `is nested deeper than ${toolSchemaDepthMax} levels`;
    throw invalidRequest([{ path: '', message }]);
  }
  const tool = parseRequest(toolSubmissionSchema, body);
  const errors = [...targetErrors(tool, checks), ...schemaErrors(tool, checks)];
  if (errors.length > 0) throw invalidRequest(errors);
  return tool;
}

function targetErrors({ target }: ToolSubmission, { urlError }: ToolChecks): FieldError[] {
  if (target.kind === 'worker') return [];
  const error = urlError(target.url);
  return [
    ...(error === null ? [] : [{ path: 'target.url', message: error }]),
    ...Object.entries(target.headers ?? {}).flatMap(([name, value]) => {
      const message = userHeaderError(name, value);
      return message === null ? [] : [{ path: `target.headers.${name}`, message }];
    }),
  ];
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
