import { randomBytes } from 'node:crypto';

import { problemSchema, type Problem } from '@millrace/contracts';
import type { z } from 'zod';

import type { Config, KeyHolder } from './config.ts';

/** How long one answer of the API may take. */
const answerTimeoutMs = 30_000;

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
  readonly body?: unknown;
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

  async #send(request: ApiRequest<z.ZodType>): Promise<Response> {
    const url = new URL(`${this.#config.url}${request.path}`);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const key = this.#config.keyOf(request.as ?? 'tenant');
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    try {
      return await fetch(url, {
        method: request.method,
        headers: {
          authorization: `Bearer ${key}`,
          traceparent: `00-${this.traceId}-${randomBytes(8).toString('hex')}-01`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...request.headers,
        },
        signal: AbortSignal.timeout(answerTimeoutMs),
        ...(body === undefined ? {} : { body }),
      });
    } catch (cause) {
      throw new UnreachableError(`nobody answers at ${this.#config.url}`, { cause });
    }
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
