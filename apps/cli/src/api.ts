import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { problemSchema, type Problem } from '@millrace/contracts';
import { z } from 'zod';

import type { Config, KeyHolder } from './config.ts';
import { EventBlocks, type ReadPiece, type StreamEvent } from './core/event-blocks.ts';

/** How long one answer of the API may take. */
const answerTimeoutMs = 30_000;
/** The same where a file goes first: 32 MB over a slow line. */
const uploadTimeoutMs = 600_000;
/** How long to wait before a stream is opened again, until it says so itself. */
const retryMsDefault = 2_000;
/** Connections in a row without an event: half a minute, as with an answer. */
const connectionsMax = 15;

/** The API refused, and says why. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** Nobody answered, or what answered is not Millrace. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

export interface ApiRequest<S extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Beneath the API's address, its own parts encoded: see `pathOf`. */
  readonly path: string;
  /** Those that are undefined are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** As JSON. */
  readonly body?: unknown;
  /** A file, in place of `body`. */
  readonly content?: { readonly type: string; readonly bytes: Uint8Array<ArrayBuffer> };
  readonly headers?: Readonly<Record<string, string>>;
  /** Whose key is shown; the tenant's when nothing is said. */
  readonly as?: KeyHolder;
  readonly answer: S;
}

/** The parts of a path, each encoded: `pathOf('v1', 'jobs', id)`. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('');
}

/** Client of the HTTP API. All that one command asks belongs to one trace. */
export class Api {
  readonly traceId = randomBytes(16).toString('hex');
  readonly #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  /**
   * @throws RefusedError when the API says no.
   * @throws UnreachableError when there is no answer that can be read.
   */
  async ask<S extends z.ZodType>(request: ApiRequest<S>): Promise<z.infer<S>> {
    const response = await this.#send(request);
    const body = await readJson(response);
    if (!response.ok) {
      const problem = problemSchema.safeParse(body);
      if (problem.success) throw new RefusedError(problem.data);
      const { status } = response;
      throw new UnreachableError(`${this.#config.url} answered ${status}, and does not say why`);
    }
    const answer = request.answer.safeParse(body);
    if (answer.success) return answer.data;
    throw new UnreachableError(`${this.#config.url} answered in a form that is not known here`);
  }

  /**
   * Events of a job to its last one, over as many connections as it takes: a break is a pause, and
   * what was missed comes after it.
   *
   * @throws RefusedError when the API says no, and not only for now.
   * @throws UnreachableError when nobody answers for a while.
   */
  async *events(path: string): AsyncGenerator<StreamEvent> {
    let lastId: string | undefined;
    let retryMs = retryMsDefault;
    for (let failures = 0; failures < connectionsMax; failures += 1) {
      const response = await this.#open(path, lastId);
      if (response?.status === 204) return;
      for await (const { events, retryMs: told } of response === null ? [] : pieces(response)) {
        retryMs = told ?? retryMs;
        for (const event of events) {
          failures = 0;
          lastId = event.id ?? lastId;
          yield event;
        }
      }
      await delay(retryMs);
    }
    throw new UnreachableError(`${this.#config.url} tells no events any more`);
  }

  /** Null when it is worth another try. */
  async #open(path: string, lastId: string | undefined): Promise<Response | null> {
    const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
    let response: Response;
    try {
      response = await this.#fetch({ method: 'GET', path, headers, answer: noBody });
    } catch (error) {
      if (error instanceof UnreachableError) return null;
      throw error;
    }
    if (response.ok) return response;
    const isForNow = response.status === 429 || response.status >= 500;
    if (isForNow) return null;
    const problem = problemSchema.safeParse(await readJson(response));
    if (problem.success) throw new RefusedError(problem.data);
    throw new UnreachableError(`${this.#config.url} answered ${response.status}`);
  }

  #send(request: ApiRequest<z.ZodType>): Promise<Response> {
    const timeoutMs = request.content === undefined ? answerTimeoutMs : uploadTimeoutMs;
    return this.#fetch(request, AbortSignal.timeout(timeoutMs));
  }

  async #fetch(request: ApiRequest<z.ZodType>, signal?: AbortSignal): Promise<Response> {
    const url = new URL(`${this.#config.url}${request.path}`);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const key = this.#config.keyOf(request.as ?? 'tenant');
    const content = request.content ?? jsonContent(request.body);
    try {
      return await fetch(url, {
        method: request.method,
        headers: {
          authorization: `Bearer ${key}`,
          traceparent: `00-${this.traceId}-${randomBytes(8).toString('hex')}-01`,
          ...(content === undefined ? {} : { 'content-type': content.type }),
          ...request.headers,
        },
        ...(signal === undefined ? {} : { signal }),
        ...(content === undefined ? {} : { body: content.bytes }),
      });
    } catch (cause) {
      throw new UnreachableError(`nobody answers at ${this.#config.url}`, { cause });
    }
  }
}

const noBody = z.undefined();

function jsonContent(body: unknown): ApiRequest<z.ZodType>['content'] {
  if (body === undefined) return undefined;
  return { type: 'application/json', bytes: new TextEncoder().encode(JSON.stringify(body)) };
}

/** Ends with the connection, whoever ended it: one that broke is opened again. */
async function* pieces({ body }: Response): AsyncGenerator<ReadPiece> {
  const decoder = new TextDecoder();
  const blocks = new EventBlocks();
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = body?.getReader();
  try {
    for (;;) {
      const read = await reader?.read().catch(() => undefined);
      if (read?.value === undefined) return;
      yield blocks.read(decoder.decode(read.value, { stream: true }));
    }
  } finally {
    await reader?.cancel().catch(() => undefined);
  }
}

/** @returns undefined for a body that is no JSON */
async function readJson(response: Response): Promise<unknown> {
  try {
    const text = await response.text();
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
