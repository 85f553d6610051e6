import { isIP } from 'node:net';
import type { Readable } from 'node:stream';

import { assertNever } from '@millrace/contracts';
import type { Agent, Dispatcher } from 'undici';

import { blockedReason, type EgressPolicy } from './blocked-reason.ts';
import { checkUrl, hostOf } from './check-url.ts';
import { currentSend, newSend, type ConnectTimings, type Send } from './current-send.ts';
import {
  createEgressConnector,
  createEgressDispatcher,
  createFreshDispatcher,
  type EgressDispatcherOptions,
} from './egress-dispatcher.ts';
import { blockedBehind, failureClassOf, type FailureClass } from './failure-class.ts';

/** Milliseconds until the status line: longer than any sound receiver, shorter than patience. */
export const totalTimeoutMsDefault = 15_000;
/** Milliseconds to read a response's body after its status line, which has decided already. */
export const bodyReadMsDefault = 2_000;
/** Bytes of a response's body that are kept for the attempt log. */
export const bodyExcerptBytesMax = 16 * 1024;

export interface EgressClientOptions extends EgressDispatcherOptions {
  readonly totalTimeoutMs?: number;
  readonly bodyReadMs?: number;
}

export interface PostRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Aborts early, for example on shutdown: the result is then `failed` with class `aborted`. */
  readonly signal?: AbortSignal;
  /** Milliseconds until the status line; without it those of the client. */
  readonly timeoutMs?: number;
  /**
   * Its receiver knows a second copy by an id in it. So one that meets a kept connection which the
   * receiver closes at that moment is sent once more, at once, on a new one.
   */
  readonly idempotent?: boolean;
}

/** A request of which the whole answer is wanted. */
export interface ExchangeRequest extends PostRequest {
  /** A GET sends no body. */
  readonly method?: 'GET' | 'POST';
  /** Milliseconds for all of it, the answer's body included. */
  readonly timeoutMs: number;
  /** Bytes of the answer's body that are read; a longer one is cut off there. */
  readonly bodyBytesMax: number;
}

export interface PostTimings extends Readonly<ConnectTimings> {
  /** Until the status line and headers. */
  readonly firstByteMs?: number;
  readonly totalMs: number;
}

interface ReceivedHead {
  readonly kind: 'response';
  readonly status: number;
  /** Lower-case names; a header given several times is joined with commas. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timings: PostTimings;
}

type NoResponse =
  | { readonly kind: 'blocked'; readonly reason: string; readonly timings: PostTimings }
  | { readonly kind: 'failed'; readonly class: FailureClass; readonly timings: PostTimings };

export type PostResult = (ReceivedHead & { readonly bodyExcerpt: Buffer }) | NoResponse;

interface WholeBody {
  readonly body: Buffer;
  /** There was more of it. */
  readonly cut: boolean;
}

export type ExchangeResult = (ReceivedHead & WholeBody) | NoResponse;

interface Sending<Body> {
  readonly timeoutMs: number;
  readonly read: (body: Readable) => Promise<Body>;
}

type Stop = 'deadline' | 'caller';

/** The only way out to addresses that users gave. Never follows a redirect. */
export class EgressClient {
  private readonly agent: Agent;
  private readonly freshAgent: Agent;
  private readonly totalTimeoutMs: number;
  private readonly bodyReadMs: number;

  constructor(
    private readonly policy: EgressPolicy,
    options: EgressClientOptions = {},
  ) {
    const connector = createEgressConnector(policy, options);
    this.agent = createEgressDispatcher(connector);
    this.freshAgent = createFreshDispatcher(connector);
    this.totalTimeoutMs = options.totalTimeoutMs ?? totalTimeoutMsDefault;
    this.bodyReadMs = options.bodyReadMs ?? bodyReadMsDefault;
  }

  /** Sends one POST. Never throws: whatever happens is a result. */
  post(request: PostRequest): Promise<PostResult> {
    return this.checked(request, {
      timeoutMs: request.timeoutMs ?? this.totalTimeoutMs,
      read: async (body) => ({ bodyExcerpt: await readExcerpt(body, this.bodyReadMs) }),
    });
  }

  /**
   * Sends one request and reads the whole answer. Never throws; an answer whose body breaks off is
   * a failure.
   */
  exchange(request: ExchangeRequest): Promise<ExchangeResult> {
    const { timeoutMs, bodyBytesMax } = request;
    return this.checked(request, { timeoutMs, read: (body) => readWhole(body, bodyBytesMax) });
  }

  /** Closes idle connections and waits for the requests that are under way. */
  async close(): Promise<void> {
    await Promise.all([this.agent.close(), this.freshAgent.close()]);
  }

  private async checked<Body extends object>(
    request: PostRequest & Pick<ExchangeRequest, 'method'>,
    sending: Sending<Body>,
  ): Promise<(ReceivedHead & Body) | NoResponse> {
    const check = checkUrl(request.url, this.policy);
    if (!check.ok) return this.refusal(request.url, check.detail);
    const send = newSend();
    return currentSend.run(send, () => this.send(check.url, request, { ...sending, send }));
  }

  private async send<Body extends object>(
    url: URL,
    request: PostRequest & Pick<ExchangeRequest, 'method'>,
    { timeoutMs, read, send }: Sending<Body> & { readonly send: Send },
  ): Promise<(ReceivedHead & Body) | NoResponse> {
    const { timings } = send;
    const startedAt = performance.now();
    const deadline = new Deadline(timeoutMs, request.signal);
    const elapsed = () => performance.now() - startedAt;
    try {
      const outgoing = outgoingOf(url, request, deadline.signal);
      const response = await this.agent.request(outgoing).catch((error: unknown) => {
        if (request.idempotent !== true || !metClosing(send, error)) throw error;
        return this.freshAgent.request(outgoing);
      });
      const firstByteMs = elapsed();
      const body = await read(response.body);
      return {
        kind: 'response',
        status: response.statusCode,
        headers: flatHeaders(response.headers),
        ...body,
        timings: { ...timings, firstByteMs, totalMs: elapsed() },
      };
    } catch (error) {
      const stopped = { by: deadline.stoppedBy, atProxy: send.atProxy };
      return failure(error, stopped, { ...timings, totalMs: elapsed() });
    } finally {
      deadline.clear();
    }
  }

  private refusal(raw: string, detail: string): NoResponse {
    const host = URL.canParse(raw) ? hostOf(new URL(raw)) : '';
    const reason = isIP(host) === 0 ? null : blockedReason(host, this.policy);
    return { kind: 'blocked', reason: reason ?? detail, timings: { totalMs: 0 } };
  }
}

/** One clock for a request, and the caller's own wish to stop. Knows which of them came first. */
class Deadline {
  stoppedBy: Stop | null = null;
  private readonly controller = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private readonly onCallerAbort = () => this.stop('caller');

  constructor(
    totalMs: number,
    private readonly caller: AbortSignal | undefined,
  ) {
    this.timer = setTimeout(() => this.stop('deadline'), totalMs);
    if (caller?.aborted === true) this.stop('caller');
    else caller?.addEventListener('abort', this.onCallerAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  clear(): void {
    clearTimeout(this.timer);
    this.caller?.removeEventListener('abort', this.onCallerAbort);
  }

  private stop(by: Stop): void {
    this.stoppedBy ??= by;
    this.controller.abort();
  }
}

/**
 * Reads what is wanted of a body and lets go of the rest. A body that ends within the limits
 * leaves its connection usable; one that drips or floods costs its sender the connection.
 */
async function readExcerpt(body: Readable, withinMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => body.destroy(), withinMs);
  try {
    const stream: AsyncIterable<Buffer> = body;
    for await (const chunk of stream) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > bodyExcerptBytesMax) break;
    }
  } catch {
    // The status line has decided: a body that breaks off changes nothing.
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
  return Buffer.concat(chunks).subarray(0, bodyExcerptBytesMax);
}

/** Reads up to so many bytes; what floods beyond them costs its sender the connection. */
async function readWhole(body: Readable, bytesMax: number): Promise<WholeBody> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    const stream: AsyncIterable<Buffer> = body;
    for await (const chunk of stream) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > bytesMax) break;
    }
  } finally {
    body.destroy();
  }
  return { body: Buffer.concat(chunks).subarray(0, bytesMax), cut: bytes > bytesMax };
}

function outgoingOf(
  url: URL,
  { method = 'POST', headers, body }: PostRequest & Pick<ExchangeRequest, 'method'>,
  signal: AbortSignal,
): Dispatcher.RequestOptions & { origin: string } {
  return {
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method,
    headers: { ...headers },
    body: method === 'GET' ? null : body,
    signal,
    // The deadline bounds the whole; undici's own coarser timers would only blur it.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
}

/**
 * Whether a kept connection was being closed while the request went out on it, the race that
 * keeping one costs. On a new connection, or after a byte of an answer, a reset means something.
 */
function metClosing({ reused, answered }: Send, error: unknown): boolean {
  return reused && !answered && failureClassOf(error) === 'reset';
}

function failure(
  error: unknown,
  stopped: { readonly by: Stop | null; readonly atProxy: boolean },
  timings: PostTimings,
): NoResponse {
  const blocked = blockedBehind(error);
  if (blocked !== null) return { kind: 'blocked', reason: blocked.reason, timings };
  switch (stopped.by) {
    case null:
      return { kind: 'failed', class: failureClassOf(error), timings };
    case 'deadline':
      return { kind: 'failed', class: stopped.atProxy ? 'proxy' : 'timeout', timings };
    case 'caller':
      return { kind: 'failed', class: 'aborted', timings };
    default:
      return assertNever(stopped.by);
  }
}

function flatHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, [value ?? ''].flat().join(', ')]),
  );
}
