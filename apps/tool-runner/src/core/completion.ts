import type { DocumentSplit, ErrorCode, ToolCompleted, ToolDescribed } from '@millrace/contracts';

import type { ExecutionRequest } from './execution.ts';

/** The event that tells how an execution ended. */
export type Completion =
  | { readonly type: 'millrace.tool.completed.v1'; readonly data: ToolCompleted }
  | { readonly type: 'millrace.tool.described.v1'; readonly data: ToolDescribed }
  | { readonly type: 'millrace.document.split.v1'; readonly data: DocumentSplit };

/**
 * Bytes of a completion: one record of Kafka, with room for its headers. JSON writes some
 * characters of a text as six, so that a result within its own limit may still be too large.
 */
export const completionBytesMax = 960 * 1024;

/** What a request and its cancel say of whom to tell. */
export type Addressee = Pick<ToolCompleted, 'workflow_id' | 'call_id' | 'token'>;

export interface Timing {
  readonly attempts: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}

export function addresseeOf({ workflow_id, call_id, token }: Addressee): Addressee {
  return { workflow_id, call_id, token };
}

/** A tool's result. */
export function succeeded(to: Addressee, output: unknown, timing: Timing): Completion {
  const data = { ...addresseeOf(to), output, ...timingFields(timing) };
  return { type: 'millrace.tool.completed.v1', data };
}

export interface Failure {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** Why there is no result, in the form that the kind of request is answered in. */
export function failed(request: ExecutionRequest, error: Failure, timing: Timing): Completion {
  const to = addresseeOf(request.data);
  switch (request.kind) {
    case 'split':
      return { type: 'millrace.document.split.v1', data: { ...to, error } };
    case 'describe':
    case 'run':
      return toolFailed(to, error, timing);
    default:
      return request satisfies never;
  }
}

export function toolFailed(to: Addressee, error: Failure, timing: Timing | null): Completion {
  const times = timing === null ? {} : timingFields(timing);
  const data = { ...addresseeOf(to), error, ...times };
  return { type: 'millrace.tool.completed.v1', data };
}

/** `ce_id`: one for all that may be told of a call, since it ends once. */
export function completionId(tenant: string, callId: string): string {
  return `${tenant}:${callId}:completed`;
}

function timingFields({ attempts, startedAtMs, finishedAtMs }: Timing) {
  return {
    ...(attempts === 0 ? {} : { attempts }),
    started_at: new Date(startedAtMs).toISOString(),
    finished_at: new Date(finishedAtMs).toISOString(),
  };
}
