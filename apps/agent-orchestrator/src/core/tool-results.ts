import { errorCodes, untrustedData } from '@millrace/contracts';
import type { ErrorCode, ToolDefinition } from '@millrace/contracts';

import { errorDetailLengthMax } from './agent-limits.ts';
import { schemaErrors } from './schema-check.ts';

/** What the model is told of one tool call. */
export interface UseResult {
  readonly content: string;
  readonly isError: boolean;
  /** Of an error, what a timeline shows of it. */
  readonly error?: { readonly code: ErrorCode; readonly detail: string };
}

/** An error that this service words: the model may believe it. */
export function errorResult(code: ErrorCode, detail: string): UseResult {
  const error = { code, detail: detail.slice(0, errorDetailLengthMax) };
  return { content: `${code}: ${error.detail}`, isError: true, error };
}

/** One of the two. */
interface Gave {
  readonly output?: unknown;
  readonly error?: { readonly code: string; readonly detail: string } | undefined;
}

/** What a tool gave back, checked against what it says of itself. */
export function resultOf(
  tool: Pick<ToolDefinition, 'name' | 'result_bytes_max' | 'output_schema'>,
  { output, error }: Gave,
): UseResult {
  if (error) {
    const code = isErrorCode(error.code) ? error.code : 'tool_failed';
    return errorResult(code, framedDetail(error.detail));
  }
  const text = textOf(output);
  const bytes = Buffer.byteLength(text);
  if (bytes > tool.result_bytes_max) {
    const detail = `the result has ${bytes} bytes, and may have ${tool.result_bytes_max}`;
    return errorResult('result_too_large', detail);
  }
  const errors = tool.output_schema === undefined ? [] : schemaErrors(tool.output_schema, output);
  if (errors.length > 0) return errorResult('invalid_result', framedDetail(errors.join('; ')));
  return { content: untrustedData(text), isError: false };
}

/** Cut before it is framed, so that the frame is always closed. */
function framedDetail(detail: string): string {
  return untrustedData(detail.slice(0, errorDetailLengthMax / 2));
}

/** Text as it is, anything else as JSON. */
export function textOf(output: unknown): string {
  return typeof output === 'string' ? output : (JSON.stringify(output) ?? '');
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}
