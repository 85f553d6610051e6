import { z } from 'zod';

/**
 * The closed list of error codes: in problem documents, in a failed job's `error.code`, in
 * `dlq-reason`. `status` is the HTTP answer that carries the code (null: never on HTTP).
 */
export const errorCodes = {
  malformed_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_request: { status: 400, title: 'A field is missing, unknown or of the wrong type' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json' },
  unauthorized: { status: 401, title: 'The API key or signature is missing or not known' },
  forbidden: { status: 403, title: 'The API key may not do this' },
  not_found: { status: 404, title: 'There is no such thing for this tenant' },
  method_not_allowed: { status: 405, title: 'This route does not take this method' },
  request_timeout: { status: 408, title: 'The request did not arrive in time' },
  idempotency_conflict: { status: 409, title: 'The same key was used with another body' },
  already_exists: { status: 409, title: 'There is one of this name already' },
  changed_meanwhile: { status: 409, title: 'It has changed since it was read' },
  limit_reached: { status: 409, title: 'There are as many of these as there may be' },
  not_enabled: { status: 409, title: 'The endpoint is paused or disabled' },
  delivery_under_way: { status: 409, title: 'The delivery has not ended yet' },
  job_ended: { status: 409, title: 'The job has ended' },
  not_begun: { status: 409, title: 'The job has not begun yet' },
  gone: { status: 410, title: 'This was here and is not kept any longer' },
  payload_too_large: { status: 413, title: 'The body is above the limit' },
  headers_too_large: { status: 431, title: 'The headers are above the limit' },
  unsafe_callback_url: { status: 422, title: 'The URL of the receiver is not allowed' },
  refused_by_model: { status: 422, title: 'The model would refuse these parameters' },
  too_many_requests: { status: 429, title: 'Too many requests' },
  queue_full: { status: 429, title: 'Too many jobs of this tenant are waiting' },
  internal: { status: 500, title: 'Something went wrong here' },
  not_durable: { status: 503, title: 'The job could not be made durable now' },
  overloaded: { status: 503, title: 'There is too much work here now' },
  unavailable: { status: 503, title: 'This cannot be answered now' },
  // Records from Kafka.
  empty_record: { status: null, title: 'The record has no value' },
  not_utf8: { status: null, title: 'The record is not UTF-8' },
  unreadable_batch: { status: null, title: 'The batch of the record cannot be unpacked' },
  unknown_type: { status: null, title: 'No service handles this event type' },
  bad_token: { status: null, title: 'The token of this result was not made for its call' },
  bad_row: { status: null, title: 'The database refused this record' },
  // How a job fails.
  retries_exhausted: { status: null, title: 'Every retry failed' },
  rejected_by_claude: { status: null, title: 'Claude rejected the request' },
  refusal: { status: null, title: 'Claude declined to answer' },
  unknown_stop_reason: { status: null, title: 'Claude stopped for a reason not known here' },
  outcome_unknown: { status: null, title: 'The call was cut off and may have been paid' },
  session_too_long: { status: null, title: 'The conversation is above the limit' },
  deadline_exceeded: { status: null, title: 'The job did not finish in time' },
  cancelled: { status: null, title: 'The job was cancelled' },
  // How a workflow fails, or waits.
  budget_exceeded: { status: null, title: 'The budget of the job is used up' },
  answer_truncated: { status: null, title: 'The answer was cut off by its limit of tokens' },
  invalid_output: { status: null, title: 'The final answer does not fit its schema' },
  unknown_tool: { status: null, title: 'There is no tool of this name' },
  unknown_workflow_version: { status: null, title: 'No release here can go on with this run' },
  history_too_long: { status: null, title: 'The run has more steps than are kept' },
  // How a tool call fails.
  invalid_arguments: { status: null, title: 'The arguments do not fit the schema of the tool' },
  tool_failed: { status: null, title: 'The tool answered with an error' },
  tool_timeout: { status: null, title: 'The tool did not answer in time' },
  result_too_large: { status: null, title: 'The result of the tool is above the limit' },
  invalid_result: { status: null, title: 'The result of the tool does not fit its schema' },
  approval_rejected: { status: null, title: 'A person did not agree to this call' },
  approval_expired: { status: null, title: 'Nobody agreed to this call in time' },
  side_effect_refused: { status: null, title: 'A fork may not call this tool' },
  // What a document may be refused for.
  empty_document: { status: null, title: 'There is no text in the document' },
  encrypted_document: { status: null, title: 'The document is encrypted' },
  unreadable_document: { status: null, title: 'The document cannot be read' },
  document_too_large: { status: null, title: 'The document has more text than may be taken' },
  // How a webhook fails.
  blocked_address: { status: null, title: 'The address of the receiver is not allowed' },
  delivery_exhausted: { status: null, title: 'Every delivery attempt failed' },
  delivery_stopped: { status: null, title: 'The receiver asked not to be sent this' },
  endpoint_disabled: { status: null, title: 'The endpoint was disabled; this can be replayed' },
  endpoint_deleted: { status: null, title: 'The endpoint was deleted' },
} as const satisfies Record<string, { status: number | null; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

export const errorCodeSchema = z.enum(
  Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]],
);

/** One thing wrong with a body, and where. */
export const fieldErrorSchema = z.object({ path: z.string(), message: z.string() });

/** RFC 9457 problem document, as every error of the HTTP API is answered. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: errorCodeSchema,
    trace_id: z.string().optional(),
    instance: z.string().optional(),
    errors: z.array(fieldErrorSchema).optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

/** Closes a switch over a tagged union: the compiler refuses a forgotten case. */
export function assertNever(value: never): never {
  throw new TypeError(`a case is not handled: ${JSON.stringify(value)}`);
}
