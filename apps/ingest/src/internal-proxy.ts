import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';

import { problemOf } from './core/internal-answer.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import type { InternalAnswer, InternalRequest, InternalService } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** What a list takes that says no more; anything else is refused here. */
const pageParameters = ['limit', 'cursor'] as const;
/** What the service reads of each is its own to judge. */
const parameterSchema = z.string().max(512);
const madeSchema = z.object({ id: z.string() });

export interface Proxied {
  readonly service: InternalService;
  /** What the caller is told that it asked for, when it is away. */
  readonly what: string;
  readonly method: InternalRequest['method'];
  /** By whom and what it was asked: everything in it was checked before. */
  readonly path: string;
  /** The parameters of its query, when they are others than those of a page. */
  readonly parameters?: readonly string[];
  /** Of a body, as JSON. */
  readonly bodyBytesMax?: number;
  /** Below which path what it makes is found, by its id. */
  readonly madeUnder?: string;
}

/** What of a tenant another service keeps, each under an id. */
export interface ProxiedRows {
  readonly service: InternalService;
  readonly what: string;
  /** Where they are, with `:tenant` for whose. */
  readonly path: string;
  readonly idSchema: z.ZodType<string>;
  /** What the caller is told of an id that none of them can have. */
  readonly unknown: string;
}

/** What is asked of them: of all, of one, or that something is done with it. */
export interface ProxiedAsk extends Omit<Proxied, 'service' | 'what' | 'path'> {
  readonly id?: string;
  readonly action?: string;
}

/**
 * Hands a request on to the service that owns what it is about, and its answer back. The tenant is
 * the key's and stands in the path; nothing else of the caller's headers goes on but the trace.
 */
@Injectable()
export class InternalProxy {
  constructor(
    private readonly requests: RequestFacts,
    private readonly log: Logger,
  ) {}

  /** @throws ProblemError as the service said, or `unavailable` when it did not answer. */
  async pass(request: FastifyRequest, reply: FastifyReply, proxied: Proxied): Promise<void> {
    const { method, path } = proxied;
    const query = queryOf(request, proxied);
    const body = bodyOf(request, proxied);
    const context = this.requests.contextOf(request);
    const answer = await proxied.service.ask({ method, path, query, context, ...body });
    if (answer === null) throw new ProblemError('unavailable', `${proxied.what} cannot be asked`);
    if (answer.status < 200 || answer.status > 299) throw this.problem(answer, request, proxied);
    void reply.status(answer.status);
    if (answer.status === 201) this.locate(answer, reply, proxied);
    if (answer.body === '') void reply.send();
    else void reply.type('application/json; charset=utf-8').send(answer.body);
  }

  /** @throws ProblemError as `pass` does, and `not_found` for an id that none can have. */
  async passRows(
    request: FastifyRequest,
    reply: FastifyReply,
    { ask, rows }: { readonly rows: ProxiedRows; readonly ask: ProxiedAsk },
  ): Promise<void> {
    const { action, id, ...asked } = ask;
    const { idSchema, service, unknown, what } = rows;
    const parts = [rows.path.replace(':tenant', this.requests.tenantOf(request))];
    if (id !== undefined) {
      const read = idSchema.safeParse(id);
      if (!read.success) throw new ProblemError('not_found', unknown);
      parts.push(read.data);
    }
    if (action !== undefined) parts.push(action);
    return this.pass(request, reply, { ...asked, service, what, path: parts.join('/') });
  }

  private locate(answer: InternalAnswer, reply: FastifyReply, { madeUnder }: Proxied): void {
    if (madeUnder === undefined) return;
    const made = madeSchema.parse(JSON.parse(answer.body));
    void reply.header('location', `${madeUnder}/${encodeURIComponent(made.id)}`);
  }

  /** What is no problem of ours, a refused key or a bug, is nothing that the caller can mend. */
  private problem(
    answer: InternalAnswer,
    request: FastifyRequest,
    { what }: Proxied,
  ): ProblemError {
    const problem = problemOf(answer);
    if (problem !== null && problem.code !== 'unauthorized') return problem;
    const context = this.requests.contextOf(request);
    this.log.error({ context, status: answer.status, what }, 'a service answered with an error');
    return new ProblemError('unavailable', `${what} cannot be asked`);
  }
}

/** Names that the route does not know are refused, and so is one that is given twice. */
function queryOf(
  request: FastifyRequest,
  { parameters = pageParameters }: Proxied,
): Record<string, string> {
  const shape = Object.fromEntries(parameters.map((name) => [name, parameterSchema.optional()]));
  const query = parseInput(z.strictObject(shape), request.query);
  return Object.fromEntries(
    Object.entries(query).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, value]],
    ),
  );
}

function bodyOf(request: FastifyRequest, { bodyBytesMax }: Proxied): { body?: string } {
  if (bodyBytesMax === undefined) return {};
  const body = JSON.stringify(request.body ?? null);
  if (Buffer.byteLength(body) <= bodyBytesMax) return { body };
  throw new ProblemError('payload_too_large', `the body is above ${bodyBytesMax} bytes`);
}
