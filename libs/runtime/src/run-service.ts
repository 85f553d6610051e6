import { setTimeout as delay } from 'node:timers/promises';

import type { ServiceName } from '@millrace/contracts';
import type { DynamicModule, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

import type { CommonConfig } from './config.ts';
import { ConfigError, readFailpoint } from './config.ts';
import { armFailpoint } from './failpoint.ts';
import { Health } from './health.ts';
import { httpServerOptions } from './http-server-options.ts';
import { Logger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { NestLogger } from './nest-logger.ts';
import { RuntimeModule } from './runtime.module.ts';
import { ServiceInfo } from './service-info.ts';
import { ServiceTransport } from './service-transport.ts';
import { names } from './telemetry-names.ts';
import type { Tracing } from './tracing.ts';
import { startTracing } from './tracing.ts';
import { UnusedConnections } from './unused-connections.ts';

type ServiceModule = Type | DynamicModule;

export interface ServiceOptions<C extends CommonConfig> {
  readonly name: ServiceName;
  /** The configuration, or how to parse it: a `ConfigError` ends the process with its message. */
  readonly config: C | (() => C);
  readonly module: ServiceModule | ((config: C) => ServiceModule);
  /** Options of Fastify beyond ours, such as a body limit. */
  readonly http?: ConstructorParameters<typeof FastifyAdapter>[0];
}

/** Job ids have up to 128 characters; Fastify's own limit of 100 would answer them with 414. */
const pathParameterLengthMax = 256;
/**
 * A stop waits so long, and half its time at most, for a start that is under way. One that takes
 * longer waits for something, such as a database, and holds nothing: it is stopped as it is.
 */
const startMsMax = 10_000;
/**
 * Of a stop's time, for consumer groups to be left before the rest is stopped, too. Kafka may take
 * longer, or be away: what queues hold is brought home meanwhile.
 */
const leaveShare = 1 / 4;

/**
 * Boots a service and stays until a signal stops it: consumers first, then what they feed, then
 * connections and traces, all within `SHUTDOWN_MS`.
 */
export async function runService<C extends CommonConfig>(
  options: ServiceOptions<C>,
): Promise<void> {
  try {
    await boot(options);
  } catch (error) {
    process.stderr.write(`${options.name}: ${describeBootFailure(error)}\n`);
    process.exit(1);
  }
}

async function boot<C extends CommonConfig>(options: ServiceOptions<C>): Promise<void> {
  const config = typeof options.config === 'function' ? options.config() : options.config;
  void armFailpoint(readFailpoint());
  const signals = new StopSignals();
  const app = await createApp(options, config);
  const unused = new UnusedConnections(app.getHttpServer());
  const tracing = startServiceTracing(app, config);
  app.get(Metrics).collectProcessMetrics();
  connectTransport(app);
  const started = start(app, config, signals.heard);
  // From here on there is work that a stop has to bring home: a queue may have claimed rows.
  signals.onStop = (signal) => {
    app.get(Logger).info({ event: names.event.serviceStopping, signal }, 'the service stops');
    void stop({ app, config, tracing, unused, started });
  };
  await started;
}

/** In the order in which its parts need each other. A stop that is heard cuts the rest off. */
async function start(
  app: NestFastifyApplication,
  config: CommonConfig,
  stopHeard: AbortSignal,
): Promise<void> {
  // Providers start before records come: Nest alone would run `onModuleInit` after the consumers.
  await app.init();
  if (!stopHeard.aborted) await app.startAllMicroservices();
  if (stopHeard.aborted) return;
  const port = await listen(app, config);
  const where = { event: names.event.serviceStarted, port };
  app.get(Logger).info(where, 'the service serves');
}

async function createApp<C extends CommonConfig>(
  options: ServiceOptions<C>,
  config: C,
): Promise<NestFastifyApplication> {
  const runtime = RuntimeModule.forService(config, options.name);
  const service = typeof options.module === 'function' && !isType(options.module)
    ? options.module(config)
    : options.module;
  const adapter = new FastifyAdapter({
    ...httpServerOptions(),
    routerOptions: { maxParamLength: pathParameterLengthMax },
    ...options.http,
  });
  const root: DynamicModule = { module: class ServiceRoot {}, imports: [runtime, service] };
  const app = await NestFactory.create<NestFastifyApplication>(root, adapter, {
    abortOnError: false,
    bufferLogs: true,
  });
  app.useLogger(new NestLogger(app.get(Logger)));
  return app;
}

function isType(module: unknown): module is Type {
  return typeof module === 'function' && /^class\b/.test(Function.prototype.toString.call(module));
}

function startServiceTracing(app: NestFastifyApplication, config: CommonConfig): Tracing {
  const info = app.get(ServiceInfo);
  const log = app.get(Logger);
  return startTracing({
    service: info.name,
    instance: info.instance,
    exportTimeoutMs: config.OTEL_EXPORTER_OTLP_TIMEOUT,
    onError: (error) => log.debug({ error }, 'the last spans did not reach the collector'),
  });
}

function connectTransport(app: NestFastifyApplication): void {
  const transport = findTransport(app);
  if (transport !== undefined) app.connectMicroservice({ strategy: transport });
}

function findTransport(app: NestFastifyApplication): ServiceTransport | undefined {
  try {
    return app.get(ServiceTransport, { strict: false });
  } catch {
    // Nest throws for a token that nobody provides: a service may have HTTP alone.
    return undefined;
  }
}

/** @returns the port, which is the system's choice where the configuration has 0. */
async function listen(app: NestFastifyApplication, config: CommonConfig): Promise<number> {
  try {
    // Not by Nest's own `listen`, which logs a taken port before it throws it.
    await app.init();
    const server = app.getHttpAdapter().getInstance();
    await server.listen({ port: config.HTTP_PORT, host: config.HTTP_HOST });
    const address = server.server.address();
    return typeof address === 'object' && address !== null ? address.port : config.HTTP_PORT;
  } catch (error) {
    if (errorCodeOf(error) === 'EADDRINUSE') {
      const place = `port ${config.HTTP_PORT} on ${config.HTTP_HOST}`;
      throw new ConfigError(`${place} is taken: stop what uses it, or set HTTP_PORT`);
    }
    throw error;
  }
}

interface Running {
  readonly app: NestFastifyApplication;
  readonly config: CommonConfig;
  readonly tracing: Tracing;
  readonly unused: UnusedConnections;
  /** What is half started is hard to stop: the rest of the start is waited for. */
  readonly started: Promise<void>;
}

async function stop({ app, config, tracing, unused, started }: Running): Promise<void> {
  const log = app.get(Logger);
  app.get(Health).stopping();
  unused.close();
  const startMs = Math.min(startMsMax, config.SHUTDOWN_MS / 2);
  const settled = Promise.race([started, delay(startMs, undefined, { ref: false })]);
  const leaveMs = config.SHUTDOWN_MS * leaveShare;
  const ended = settled.then(() => closeAll(app, { leaveMs, tracing })).then(
    () => 'clean' as const,
    (error: unknown) => {
      log.error({ error }, 'the service did not stop cleanly');
      return 'failed' as const;
    },
  );
  const late = delay(config.SHUTDOWN_MS, 'late' as const, { ref: false });
  const outcome = await Promise.race([ended, late]);
  if (outcome === 'late') log.warn({ after_ms: config.SHUTDOWN_MS }, 'the stop took too long');
  log.info({ event: names.event.serviceStopped, outcome }, 'the service has stopped');
  process.exit(outcome === 'clean' ? 0 : 1);
}

async function closeAll(
  app: NestFastifyApplication,
  { leaveMs, tracing }: { readonly leaveMs: number; readonly tracing: Tracing },
): Promise<void> {
  // Records first: what is still taken in would have to be finished too. Nest closes the
  // transport only after `onModuleDestroy`, where work queues bring their rows home, and waits for
  // it.
  const left = findTransport(app)?.close();
  await Promise.race([left, delay(leaveMs, undefined, { ref: false })]);
  await app.close();
  await tracing.shutdown();
}

/**
 * Hears a stop from the first moment on. The listeners are never exchanged: Node loses a signal
 * that comes between the removal of one and the dispatch to the next.
 */
class StopSignals {
  /** While nothing was started yet there is nothing to bring home. */
  onStop: (signal: string) => void = () => process.exit(0);
  readonly #stop = new AbortController();

  constructor() {
    const listener = (signal: string) => this.#hear(signal);
    process.on('SIGTERM', listener);
    process.on('SIGINT', listener);
  }

  get heard(): AbortSignal {
    return this.#stop.signal;
  }

  #hear(signal: string): void {
    // A terminal's Ctrl-C arrives twice when npm passes it on: the second one changes nothing.
    if (this.heard.aborted) return;
    this.#stop.abort();
    this.onStop(signal);
  }
}

function describeBootFailure(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function errorCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
