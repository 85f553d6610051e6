import { describe, expect, it } from '@jest/globals';
import { PayloadCodec } from '@millrace/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';

import { Health } from './health.ts';
import { Logger, SilentLogger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { RuntimeModule } from './runtime.module.ts';
import { ServiceInfo } from './service-info.ts';

const config = { LOG_LEVEL: 'info' as const };

describe('the runtime module', () => {
  it('gives a service what every service has, once, and serves its probes', async () => {
    const imports = [
      RuntimeModule.forService(config, 'ingest', new SilentLogger()),
      RuntimeModule.forService(config, 'ingest'),
    ];
    const module = await Test.createTestingModule({ imports }).compile();
    const adapter = new FastifyAdapter();
    const app = module.createNestApplication<NestFastifyApplication>(adapter, { logger: false });
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
    const things = app.get(Metrics).counter('things_total', { help: 'T', labels: ['kind'] });
    things.inc({ kind: 'a' });
    app.get(Health).addCheck('broken', () => Promise.reject(new Error('no')));

    expect(app.get(Logger)).toBeInstanceOf(SilentLogger);
    expect(app.get(ServiceInfo).name).toBe('ingest');
    expect(app.get(PayloadCodec)).toBeInstanceOf(PayloadCodec);
    const health: unknown = (await app.inject('/healthz')).json();
    expect(health).toMatchObject({ status: 'ok', service: 'ingest' });
    expect((await app.inject('/readyz')).statusCode).toBe(503);
    expect((await app.inject('/metrics')).body).toContain('things_total{kind="a"} 1');
    await app.close();
  });
});
