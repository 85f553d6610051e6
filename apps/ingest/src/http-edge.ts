import { Metrics, extractTrace, names, tracer, type Histogram } from '@millrace/runtime';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { SpanKind, SpanStatusCode, trace, type Context } from '@opentelemetry/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { ApiKeyAuth } from './api-key-auth.ts';
import { parseJsonBody } from './core/parse-body.ts';
import { withTrace } from './job-trace.ts';
import { RequestFacts } from './request-facts.ts';

/** Probes and documents: no key, no span. */
const plainPath = /^\/(healthz|readyz|metrics|openapi\.json|asyncapi\.json)(\?|$)/;

/**
 * What every request meets before its route: a span, the key, and our own reading of JSON. Hooks
 * and not guards, so that nothing is read of a body that comes without a key.
 */
@Injectable()
export class HttpEdge implements OnModuleInit {
  private readonly duration: Histogram;

  constructor(
    private readonly host: HttpAdapterHost,
    private readonly auth: ApiKeyAuth,
    private readonly requests: RequestFacts,
    metrics: Metrics,
  ) {
    this.duration = metrics.histogram(names.metric.httpDuration, {
      help: 'Seconds of HTTP requests, event streams included',
      labels: ['method', 'route', 'status'],
    });
  }

  onModuleInit(): void {
    const server = this.host.httpAdapter.getInstance<FastifyInstance>();
    server.addHook('onRequest', async (request) => {
      if (plainPath.test(request.url)) return;
      this.requests.begin(request, withTrace(startSpan(request)));
      if (!request.url.startsWith('/v1')) return;
      this.requests.authenticated(request, await this.auth.authenticate(request.headers));
    });
    server.addHook('onResponse', async (request, reply) => this.end(request, reply));
    readOnlyJson(server);
  }

  private end(request: FastifyRequest, reply: FastifyReply): void {
    const status = reply.raw.statusCode;
    const route = request.routeOptions.url ?? 'unknown';
    this.duration.observe({ method: request.method, route, status }, reply.elapsedTime / 1000);
    if (plainPath.test(request.url)) return;
    const span = trace.getSpan(this.requests.contextOf(request));
    span?.setAttribute(names.attribute.httpStatus, status);
    if (status >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
  }
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
