import { isUtf8 } from 'node:buffer';

import { assertNever, toolResultDepthMax } from '@millrace/contracts';
import type { ExchangeResult, FailureClass } from '@millrace/egress';
import { parseRetryAfter } from '@millrace/egress/core';

import type { Failure } from './completion.ts';
import { isDeeperThan } from './json-depth.ts';
import type { ToolResult } from './outcome.ts';
import { secondsOf } from './seconds.ts';

/** Characters of an error's body that the model is told: a message, not a page. */
const excerptLengthMax = 500;
/** 4xx that mean "again, later". */
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429]);

type Response = Extract<ExchangeResult, { kind: 'response' }>;

export interface ResultContext {
  readonly bytesMax: number;
  readonly timeoutMs: number;
  readonly nowMs: number;
}

/** The one table that says what an HTTP tool's answer means. */
export function httpResult(result: ExchangeResult, context: ResultContext): ToolResult {
  switch (result.kind) {
    case 'response':
      return resultOfResponse(result, context);
    case 'blocked':
      return forGood('blocked_address', 'the address of the tool is not allowed', 'blocked');
    case 'failed':
      return resultOfFailure(result.class, context);
    default:
      return assertNever(result);
  }
}

function resultOfResponse(response: Response, context: ResultContext): ToolResult {
  const { status } = response;
  if (status >= 200 && status < 300) return outputOf(response, context);
  return {
    kind: 'failure',
    failure: { code: 'tool_failed', detail: `the tool answered ${status}${excerptOf(response)}` },
    transient: status >= 500 || transientStatuses.has(status),
    ...retryAfterOf(response, context.nowMs),
    class: String(status),
    status,
  };
}

function outputOf(response: Response, { bytesMax }: ResultContext): ToolResult {
  const { body, cut, headers, status } = response;
  if (cut) {
    return forGood('result_too_large', `the result is larger than ${bytesMax} bytes`, 'too_large');
  }
  if (!isUtf8(body)) return forGood('invalid_result', 'the result is not text', 'not_text');
  const text = body.toString('utf8');
  if (text === '' || !isJson(headers['content-type'])) {
    return { kind: 'output', output: text, status };
  }
  const parsed = parseJson(text);
  if (parsed === null) {
    return forGood('invalid_result', 'the result says that it is JSON and is not', 'not_json');
  }
  if (isDeeperThan(parsed.value, toolResultDepthMax)) {
    const detail = `the result is nested deeper than ${toolResultDepthMax} levels`;
    return forGood('invalid_result', detail, 'too_deep');
  }
  return { kind: 'output', output: parsed.value, status };
}

function resultOfFailure(failure: FailureClass, { timeoutMs }: ResultContext): ToolResult {
  switch (failure) {
    case 'local':
      return { kind: 'postponed', reason: 'own_fault' };
    case 'aborted':
      return { kind: 'postponed', reason: 'stopping' };
    case 'timeout':
      return mayPass({
        code: 'tool_timeout',
        detail: `the tool did not answer within ${secondsOf(timeoutMs)} s`,
      }, failure);
    case 'dns':
    case 'refused':
    case 'unreachable':
    case 'reset':
    case 'tls':
    case 'protocol':
    case 'proxy':
    case 'other':
      return mayPass({
        code: 'tool_failed',
        detail: `the tool could not be reached (${failure})`,
      }, failure);
    default:
      return assertNever(failure);
  }
}

function forGood(code: Failure['code'], detail: string, failureClass: string): ToolResult {
  return { kind: 'failure', failure: { code, detail }, transient: false, class: failureClass };
}

function mayPass(failure: Failure, failureClass: string): ToolResult {
  return { kind: 'failure', failure, transient: true, class: failureClass };
}

function retryAfterOf({ headers }: Response, nowMs: number): { retryAfterMs?: number } {
  const askedMs = parseRetryAfter(headers['retry-after'], nowMs);
  return askedMs === null ? {} : { retryAfterMs: askedMs };
}

/** What an error says of itself, for the model to mend its call. */
function excerptOf({ body }: Response): string {
  const text = body.toString('utf8').replace(/\0/g, '').trim().slice(0, excerptLengthMax);
  return text === '' ? '' : `: ${text}`;
}

function isJson(contentType: string | undefined): boolean {
  const [type = ''] = (contentType ?? '').split(';');
  return /^application\/(?:[\w.+-]+\+)?json$/i.test(type.trim());
}

function parseJson(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}
