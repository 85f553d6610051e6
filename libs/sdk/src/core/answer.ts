import {
  cloudEventHeaders,
  toolResultBytesMax,
  traceHeaders,
  type ToolCompleted,
  type ToolError,
  type ToolRequested,
} from '@millrace/contracts';

/** What a call came to. */
export type CallEnd =
  | { readonly kind: 'output'; readonly output: unknown }
  | { readonly kind: 'error'; readonly error: ToolError };

/** Characters of a thrown error's message that the model is told. */
const messageLengthMax = 2_000;

export function failure(code: ToolError['code'], detail: string): CallEnd {
  return { kind: 'error', error: { code, detail: detail.slice(0, messageLengthMax) } };
}

/** What a tool returned, as the model may be told it. */
export function endOf(returned: unknown): CallEnd {
  const output = returned === undefined ? null : returned;
  const json = jsonOf(output);
  if (json === null) return failure('invalid_result', 'the result cannot be written as JSON');
  const bytes = Buffer.byteLength(typeof output === 'string' ? output : json);
  if (bytes > toolResultBytesMax || Buffer.byteLength(json) > answerBytesMax) {
    return failure('result_too_large', `the result is larger than ${toolResultBytesMax} bytes`);
  }
  return { kind: 'output', output };
}

/** Bytes of JSON: a record of Kafka has room for it and its headers. */
const answerBytesMax = 960 * 1024;

/** The event that answers a request. */
export function answerMessage(
  request: ToolRequested,
  end: CallEnd,
  facts: {
    readonly source: string;
    readonly at: Date;
    readonly requestHeaders: Readonly<Record<string, string>>;
  },
): { readonly key: string; readonly value: string; readonly headers: Record<string, string> } {
  const { attempt, call_id, job_id, token, workflow_id } = request;
  const data: ToolCompleted = {
    workflow_id,
    call_id,
    token,
    ...(end.kind === 'output' ? { output: end.output } : { error: end.error }),
    attempts: attempt,
    finished_at: facts.at.toISOString(),
  };
  return {
    key: workflow_id,
    value: JSON.stringify(data),
    headers: {
      [cloudEventHeaders.id]: `${call_id}:${attempt}:answered`,
      [cloudEventHeaders.source]: facts.source,
      [cloudEventHeaders.type]: 'millrace.tool.completed.v1',
      [cloudEventHeaders.specVersion]: '1.0',
      [cloudEventHeaders.time]: facts.at.toISOString(),
      [cloudEventHeaders.subject]: job_id,
      [cloudEventHeaders.contentType]: 'application/json',
      ...traceOf(facts.requestHeaders),
    },
  };
}

function traceOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.values(traceHeaders).flatMap((name) => {
      const value = headers[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function jsonOf(value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? null;
  } catch {
    return null;
  }
}
