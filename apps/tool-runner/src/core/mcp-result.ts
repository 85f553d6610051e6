import { toolResultDepthMax } from '@millrace/contracts';
import { z } from 'zod';

import { isDeeperThan } from './json-depth.ts';
import type { ToolResult } from './outcome.ts';

/** What a server's tool answers, as far as it is told on. Kinds that are not known are left out. */
export const mcpResultSchema = z.looseObject({
  content: z
    .array(
      z.looseObject({
        type: z.string(),
        text: z.string().optional(),
        mimeType: z.string().optional(),
        uri: z.string().optional(),
        resource: z
          .looseObject({ uri: z.string().optional(), text: z.string().optional() })
          .optional(),
      }),
    )
    .default([]),
  structuredContent: z.record(z.string(), z.unknown()).optional(),
  isError: z.boolean().optional(),
});
export type McpResult = z.infer<typeof mcpResultSchema>;

/** Characters of an error that the model is told. */
const errorLengthMax = 2_000;

/** What the result of a server's tool means: structured content where there is such, else text. */
export function mcpResult(result: McpResult, bytesMax: number): ToolResult {
  const text = result.content.map(textOf).join('\n');
  if (result.isError === true) {
    const detail = text.slice(0, errorLengthMax) || 'the tool says that it failed';
    return failure('tool_failed', detail, 'is_error');
  }
  const output = result.structuredContent ?? text;
  const bytes = Buffer.byteLength(typeof output === 'string' ? output : JSON.stringify(output));
  if (bytes > bytesMax) {
    return failure('result_too_large', `the result is larger than ${bytesMax} bytes`, 'too_large');
  }
  if (isDeeperThan(output, toolResultDepthMax)) {
    const detail = `the result is nested deeper than ${toolResultDepthMax} levels`;
    return failure('invalid_result', detail, 'too_deep');
  }
  return { kind: 'output', output };
}

function textOf(part: McpResult['content'][number]): string {
  if (part.text !== undefined) return part.text;
  if (part.resource?.text !== undefined) return part.resource.text;
  const where = part.uri ?? part.resource?.uri;
  const about = [part.type, part.mimeType, where].filter((word) => word !== undefined);
  return `[left out: ${about.join(' ')}]`;
}

function failure(
  code: 'tool_failed' | 'result_too_large' | 'invalid_result',
  detail: string,
  failureClass: string,
): ToolResult {
  return {
    kind: 'failure',
    failure: { code, detail },
    transient: false,
    class: failureClass,
    // The server has answered: it is not hanging.
    status: 200,
  };
}
