import 'reflect-metadata';

export * from './config.ts';
export { addLoad, lingerMs, noLoad, type Linger, type Load } from './core/load.ts';
export * from './failpoint.ts';
export * from './health.ts';
export * from './http-server-options.ts';
export * from './internal-key.guard.ts';
export * from './internal-problem-filter.ts';
export * from './logger.ts';
export * from './metrics.ts';
export * from './nest-logger.ts';
export * from './run-service.ts';
export * from './runtime.module.ts';
export * from './secret-box.ts';
export * from './service-info.ts';
export * from './service-transport.ts';
export * from './telemetry-names.ts';
export * from './tracing.ts';
