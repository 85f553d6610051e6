import type { HttpAdapterHost } from '@nestjs/core';

import type { Health, HealthReport } from './health.ts';
import type { Metrics } from './metrics.ts';

/** The part of Fastify that is used here. */
interface Reply {
  status(code: number): Reply;
  type(contentType: string): Reply;
  send(body: unknown): Reply;
}
interface Routes {
  get(path: string, handler: (request: unknown, reply: Reply) => Promise<Reply>): unknown;
}

/**
 * Serves `/healthz`, `/readyz` and `/metrics`. They are routes of Fastify and not controllers, so
 * that no guard, prefix or interceptor of a service's own API ever stands before a probe.
 */
export function registerServiceRoutes(
  host: HttpAdapterHost,
  health: Health,
  metrics: Metrics,
): void {
  // A context without HTTP (a spec of a consumer) has no adapter, and nothing to serve.
  const adapter: unknown = host.httpAdapter;
  if (adapter === undefined || adapter === null) return;
  const server = host.httpAdapter.getInstance<Routes>();
  server.get('/healthz', async (_request, reply) => {
    const report = await health.liveness();
    return reply.status(statusOf(report)).send(report);
  });
  server.get('/readyz', async (_request, reply) => {
    const report = await health.readiness();
    return reply.status(statusOf(report)).send(report);
  });
  server.get('/metrics', async (_request, reply) => {
    const text = await metrics.registry.metrics();
    return reply.type(metrics.registry.contentType).send(text);
  });
}

function statusOf(report: HealthReport): number {
  return report.status === 'ok' ? 200 : 503;
}
