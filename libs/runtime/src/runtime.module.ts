import { IdentityPayloadCodec, PayloadCodec } from '@millrace/contracts';
import type { ServiceName } from '@millrace/contracts';
import type { DynamicModule, OnModuleInit } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ulid } from 'ulid';

import type { CommonConfig } from './config.ts';
import { Health, HealthChecks } from './health.ts';
import { Logger, createLogger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { SecretBox } from './secret-box.ts';
import { ServiceInfo } from './service-info.ts';
import { registerServiceRoutes } from './service-routes.ts';

type RuntimeConfig = Pick<CommonConfig, 'LOG_LEVEL'> & {
  /** Of services that keep secrets of others. */
  readonly MILLRACE_SECRETS_KEY?: readonly string[];
};

/** One module for one configuration, however often it is asked for: Nest compares by reference. */
const modules = new WeakMap<object, DynamicModule>();

/** What every service has: log, metrics, health, codec, secret box, and their routes. Global. */
@Module({})
export class RuntimeModule implements OnModuleInit {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly health: Health,
    private readonly metrics: Metrics,
  ) {}

  static forService(config: RuntimeConfig, name: ServiceName, log?: Logger): DynamicModule {
    const known = modules.get(config);
    if (known !== undefined) return known;
    const created = createRuntimeModule(config, name, log);
    modules.set(config, created);
    return created;
  }

  onModuleInit(): void {
    registerServiceRoutes(this.host, this.health, this.metrics);
  }
}

function createRuntimeModule(
  config: RuntimeConfig,
  name: ServiceName,
  log: Logger | undefined,
): DynamicModule {
  const info = new ServiceInfo(name, ulid());
  return {
    module: RuntimeModule,
    global: true,
    providers: [
      { provide: ServiceInfo, useValue: info },
      {
        provide: Logger,
        useFactory: () => log ?? createLogger({ service: name, level: config.LOG_LEVEL }),
      },
      { provide: Metrics, useFactory: () => new Metrics() },
      { provide: Health, useFactory: () => new HealthChecks(name) },
      { provide: PayloadCodec, useClass: IdentityPayloadCodec },
      { provide: SecretBox, useFactory: () => new SecretBox(config.MILLRACE_SECRETS_KEY) },
    ],
    exports: [ServiceInfo, Logger, Metrics, Health, PayloadCodec, SecretBox],
  };
}
