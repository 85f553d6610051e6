import {
  documentBytesMax,
  documentTypes,
  errorCodes,
  httpBodyBytesMax,
  inboundGitHubBytesMax,
} from '@millrace/contracts';
import { Metrics, extractTrace, names, tracer, type Histogram } from '@millrace/runtime';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { SpanKind, SpanStatusCode, trace, type Context } from '@opentelemetry/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { ApiKeyAuth } from './api-key-auth.ts';
import { documentTypeOf } from './core/document-upload.ts';
import { parseJsonBody } from './core/parse-body.ts';
import { ProblemError, errorOfNoRoute } from './core/problem.ts';
import { isInbound, keepRaw, passInbound } from './inbound-route.ts';
import { withTrace } from './job-trace.ts';
import { RequestFacts } from './request-facts.ts';
import { RequestsInFlight, bodyLengthOf } from './requests-in-flight.ts';

/** Probes and documents: no key, no span. Every other route needs a key. */
const plainRoutes = new Set([
  '/healthz',
  '/readyz',
  '/metrics',
  '/openapi.json',
  '/asyncapi.json',
]);

/**
 * Open sockets of one process: its event streams (10,000) and 2,000 for all else. Node closes
 * what comes above at once.
 */
const connectionsMax = 12_000;

/**
 * What every request meets before its route: a span, the key, and our own reading of JSON. Hooks
 * and not guards, so that nothing is read of a body that comes without a key or to no route. What
 * is decided goes by the route that was matched, for a path can be written in many ways.
 */
@Injectable()
export class HttpEdge implements OnModuleInit {
  private readonly duration: Histogram;

  constructor(
    private readonly host: HttpAdapterHost,
    private readonly auth: ApiKeyAuth,
    private readonly requests: RequestFacts,
    private readonly inFlight: RequestsInFlight,
    metrics: Metrics,
  ) {
    this.duration = metrics.histogram(names.metric.httpDuration, {
      help: 'Seconds of HTTP requests, event streams included',
      labels: ['method', 'route', 'status'],
    });
  }

  onModuleInit(): void {
    const server = this.host.httpAdapter.getInstance<FastifyInstance>();
    server.server.maxConnections = connectionsMax;
    server.addHook('onRequest', async (request, reply) => {
      const route = request.routeOptions.url;
      if (isPlain(route)) return;
      this.requests.begin(request, withTrace(startSpan(request)));
      this.inFlight.enter(request.raw, reply.raw);
      if (route === undefined) {
        const methods = methodsOf(server, request.url);
        if (methods.length > 0) void reply.header('allow', methods.join(', '));
        throw errorOfNoRoute(methods);
      }
      // Its signature is its key.
      if (isInbound(request)) keepRaw(request);
      else await this.authenticate(request, route);
      refuseEncoded(request);
      refuseTooLong(request);
      if (isUpload(request)) documentTypeOf(request.headers['content-type']);
      // Of a document one piece at a time is in memory, whatever its length.
      if (!isUpload(request)) this.inFlight.expectBody(request.raw);
    });
    server.addHook('onResponse', async (request, reply) => this.end(request, reply));
    readOnlyJson(server);
    passDocuments(server);
    passInbound(server, unsupported);
  }

  private async authenticate(request: FastifyRequest, route: string): Promise<void> {
    const anew = isFollowed(route);
    const principal = await this.auth.authenticate(request.headers, { anew });
    this.requests.authenticated(request, principal);
  }

  private end(request: FastifyRequest, reply: FastifyReply): void {
    const status = reply.raw.statusCode;
    const route = request.routeOptions.url;
    const labels = { method: request.method, route: route ?? 'unknown', status };
    this.duration.observe(labels, reply.elapsedTime / 1000);
    if (isPlain(route)) return;
    const span = trace.getSpan(this.requests.contextOf(request));
    span?.setAttribute(names.attribute.httpStatus, status);
    if (status >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
  }
}

/** The router itself is asked: what it matches is what a path takes, however it is written. */
function methodsOf(server: FastifyInstance, url: string): readonly string[] {
  return server.supportedMethods.filter((method) => server.findRoute({ method, url }) !== null);
}

function isPlain(route: string | undefined): boolean {
  return route !== undefined && plainRoutes.has(route);
}

/** What is read for a quarter of an hour is not opened by a key that was revoked before. */
function isFollowed(route: string): boolean {
  return route === '/v1/jobs/:id/events';
}

/** Nothing is unpacked here: a few KB could become GBs. Refused before a byte of it is read. */
function refuseEncoded(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() === 'identity') return;
  throw new ProblemError('unsupported_media_type', 'a body must come without Content-Encoding');
}

/** By what it says of itself: refused before a byte of it is read. */
function refuseTooLong(request: FastifyRequest): void {
  const { headers } = request;
  // What does not say its length is counted as it comes.
  const isCounted = isUpload(request) && headers['transfer-encoding'] !== undefined;
  const bytesMax = bytesMaxOf(request);
  if (isCounted || bodyLengthOf(headers) <= bytesMax) return;
  throw new ProblemError('payload_too_large', `the body has more than ${bytesMax} bytes`);
}

function bytesMaxOf(request: FastifyRequest): number {
  if (isUpload(request)) return documentBytesMax;
  // By whose it is, as soon as the source is known.
  return isInbound(request) ? inboundGitHubBytesMax : httpBodyBytesMax;
}

/** One parser, ours: strict UTF-8, bounded depth, no prototypes. Other types get a 415. */
function readOnlyJson(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (_request, body, done) => {
      try {
        done(null, parseJsonBody(body));
      } catch (error) {
        done(error instanceof Error ? error : new TypeError('a body that cannot be read'));
      }
    },
  );
}

/** Documents reach their route as streams, and no other route at all. */
function passDocuments(server: FastifyInstance): void {
  server.addContentTypeParser([...documentTypes], (request, payload, done) => {
    if (isUpload(request)) done(null, payload);
    else done(unsupported());
  });
}

function unsupported(): ProblemError {
  return new ProblemError('unsupported_media_type', errorCodes.unsupported_media_type.title);
}

function isUpload({ method, routeOptions }: FastifyRequest): boolean {
  return method === 'POST' && routeOptions.url === '/v1/documents';
}

function startSpan(request: FastifyRequest): Context {
  const parent = extractTrace(singleHeaders(request));
  const route = request.routeOptions.url;
  const span = tracer().startSpan(
    route === undefined ? request.method : names.span.http(request.method, route),
    {
      kind: SpanKind.SERVER,
      attributes: {
        [names.attribute.httpMethod]: request.method,
        [names.attribute.urlPath]: request.url.split('?')[0] ?? '/',
        [names.attribute.serverAddress]: request.hostname,
        ...(route === undefined ? {} : { [names.attribute.httpRoute]: route }),
      },
    },
    parent,
  );
  return trace.setSpan(parent, span);
}

function singleHeaders(request: FastifyRequest): Record<string, string | undefined> {
  const { traceparent, tracestate } = request.headers;
  return {
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    tracestate: typeof tracestate === 'string' ? tracestate : undefined,
  };
}
