import Anthropic from '@anthropic-ai/sdk';
import type { MessageCreateParamsNonStreaming } from '@anthropic-ai/sdk/resources/messages';
import { httpHeaders } from '@millrace/contracts';
import { LeaseLost, WorkCancelled } from '@millrace/work';
import { Agent } from 'undici';

import type { CallParams } from '../core/call.ts';
import {
  type AnswerSource,
  type ClaudeAnswer,
  type CutReason,
  noSource,
} from '../core/claude-answer.ts';
import { isClaudeMessage } from '../core/claude-message.ts';
import { MessageAccumulator } from '../core/message-accumulator.ts';
import { retryAfterMsOf } from '../core/retry-after.ts';
import { isBeforeSend } from '../core/unsent-error.ts';
import { CallExpired, ClaudeApi, type ClaudeSend, DeadlinePassed } from '../ports.ts';
import { undiciFetch } from './undici-fetch.ts';

/** Bytes of one answer: several times the longest that a model writes. */
const answerBytesMax = 64 * 1024 * 1024;
const connectMsMax = 10_000;
/** Idle connections are kept this long where the server does not say how long it keeps them. */
const keepAliveMs = 10_000;

export interface AnthropicOptions {
  readonly apiKey: string;
  readonly baseUrl: string | undefined;
  /** Each call in flight has a connection of its own (HTTP/1.1). */
  readonly connectionsMax: number;
}

/** The Messages API through the vendor's SDK: no retries, spans or logs of its own. */
export class AnthropicClaudeApi extends ClaudeApi {
  readonly #agent: Agent;
  readonly #client: Anthropic;

  constructor(options: AnthropicOptions) {
    super();
    this.#agent = new Agent({
      connections: options.connectionsMax,
      pipelining: 1,
      connect: { timeout: connectMsMax },
      keepAliveTimeout: keepAliveMs,
      maxResponseSize: answerBytesMax,
      // The call's own deadlines bound these; a timer for each would only cost.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#client = new Anthropic({
      apiKey: options.apiKey,
      ...(options.baseUrl === undefined ? {} : { baseURL: options.baseUrl }),
      maxRetries: 0,
      fetch: undiciFetch(this.#agent),
      openTelemetry: false,
      logLevel: 'off',
    });
  }

  async send(request: ClaudeSend): Promise<ClaudeAnswer> {
    const { params } = request;
    if (!isCreateParams(params)) {
      const detail = 'the parameters lack model, max_tokens or messages';
      return { kind: 'unsendable', code: 'internal', detail };
    }
    try {
      return request.streamed
        ? await this.#sendStreamed(params, request)
        : await this.#sendWhole(params, request);
    } catch (error) {
      return answerOfError(error, request.signal);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #sendWhole(
    params: MessageCreateParamsNonStreaming,
    { signal, totalMs }: ClaudeSend,
  ): Promise<ClaudeAnswer> {
    const pending = this.#client.messages.create(params, { signal, timeout: totalMs });
    const { data, response } = await pending.withResponse();
    const source = sourceOf(response);
    const message: unknown = data;
    if (isClaudeMessage(message)) return { kind: 'message', message, source };
    return { kind: 'cut', reason: 'answer_malformed', source };
  }

  async #sendStreamed(
    params: MessageCreateParamsNonStreaming,
    { onEvent, signal, totalMs }: ClaudeSend,
  ): Promise<ClaudeAnswer> {
    const streamed = { ...params, stream: true as const };
    const pending = this.#client.messages.create(streamed, { signal, timeout: totalMs });
    const { data: events, response } = await pending.withResponse();
    const source = sourceOf(response);
    const accumulator = new MessageAccumulator();
    try {
      for await (const event of events) onEvent(accumulator.apply(event));
    } catch (error) {
      return withSource(answerOfError(error, signal), source);
    }
    // An aborted stream ends like one that is over.
    if (signal.aborted) return withSource(answerOfAbort(signal.reason), source);
    const end = accumulator.end();
    if (end.kind === 'whole') return { kind: 'message', message: end.message, source };
    const reason = end.kind === 'truncated' ? 'answer_truncated' : 'answer_malformed';
    return { kind: 'cut', reason, source };
  }
}

/** What the SDK's types ask for; all other fields pass unread. */
function isCreateParams(
  params: CallParams | MessageCreateParamsNonStreaming,
): params is MessageCreateParamsNonStreaming {
  return (
    typeof params.model === 'string' &&
    typeof params.max_tokens === 'number' &&
    Array.isArray(params.messages)
  );
}

interface HeaderSource {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

function sourceOf({ status, headers }: HeaderSource): AnswerSource {
  return {
    httpStatus: status,
    requestId: headers.get('request-id'),
    standIn: headers.get(httpHeaders.standIn) === 'true',
  };
}

/** An error in the middle of a stream still came from the answer that began it. */
function withSource(answer: ClaudeAnswer, source: AnswerSource): ClaudeAnswer {
  return answer.kind === 'cut' || answer.kind === 'error' ? { ...answer, source } : answer;
}

function answerOfAbort(reason: unknown): ClaudeAnswer {
  if (reason instanceof DeadlinePassed) {
    return { kind: 'cut', reason: reason.reason, source: noSource };
  }
  if (reason instanceof WorkCancelled) return { kind: 'interrupted', by: 'cancel' };
  if (reason instanceof CallExpired) return { kind: 'interrupted', by: 'expiry' };
  if (reason instanceof LeaseLost) return { kind: 'interrupted', by: 'lease_lost' };
  return { kind: 'interrupted', by: 'stop' };
}

function answerOfError(error: unknown, signal: AbortSignal): ClaudeAnswer {
  if (signal.aborted) return answerOfAbort(signal.reason);
  if (error instanceof Anthropic.APIConnectionTimeoutError) return cut('total_timeout');
  if (error instanceof Anthropic.APIConnectionError) return answerOfConnection(error.cause);
  if (isApiError(error)) return answerOfApiError(error);
  // What a body throws while it is read: JSON that is none, or the connection.
  if (error instanceof SyntaxError) return cut('answer_malformed');
  return answerOfConnection(error, 'in the body');
}

type ApiError = InstanceType<typeof Anthropic.APIError>;

function isApiError(error: unknown): error is ApiError {
  return error instanceof Anthropic.APIError;
}

function answerOfApiError(error: ApiError): ClaudeAnswer {
  const status: unknown = error.status;
  const httpStatus = typeof status === 'number' ? status : null;
  const headers: HeaderSource['headers'] = error.headers ?? { get: () => null };
  return {
    kind: 'error',
    error: {
      httpStatus,
      type: error.type,
      errorCode: error.errorCode,
      retryAfterMs: retryAfterMsOf(headers.get('retry-after'), Date.now()),
      detail: typeof error.apiMessage === 'string' ? error.apiMessage : 'no message',
    },
    source: { ...sourceOf({ status: httpStatus ?? 0, headers }), httpStatus },
  };
}

function answerOfConnection(error: unknown, where?: 'in the body'): ClaudeAnswer {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  if (where === undefined && isBeforeSend(error)) return { kind: 'unreachable', code };
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return cut('answer_malformed');
  return cut('connection_lost');
}

function cut(reason: CutReason): ClaudeAnswer {
  return { kind: 'cut', reason, source: noSource };
}
