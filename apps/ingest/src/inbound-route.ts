import type { FastifyInstance, FastifyRequest } from 'fastify';

/** What the route reads, whatever a provider calls it: Fastify picks parsers by this name. */
const rawType = 'application/x-millrace-inbound';

/** How the provider called its body. */
const contentTypes = new WeakMap<FastifyRequest, string>();

export function isInbound({ method, routeOptions }: FastifyRequest): boolean {
  return method === 'POST' && routeOptions.url === '/v1/inbound/:source';
}

/**
 * Signatures are of bytes: before any parser sees a request of this route, its body is named so
 * that it is handed over as it comes.
 */
export function keepRaw(request: FastifyRequest): void {
  contentTypes.set(request, request.headers['content-type'] ?? '');
  request.headers['content-type'] = rawType;
}

export function contentTypeOf(request: FastifyRequest): string | undefined {
  return contentTypes.get(request);
}

/** Inbound bodies reach their route as streams. */
export function passInbound(server: FastifyInstance, refuse: () => Error): void {
  server.addContentTypeParser(rawType, (request, payload, done) => {
    if (isInbound(request)) done(null, payload);
    else done(refuse());
  });
}
