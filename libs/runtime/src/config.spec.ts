import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import { ConfigError, flagSchema, parseConfig, serviceEnvironment } from './config.ts';

const schema = z.object({
  ...serviceEnvironment,
  MILLRACE_CLAUDE_STAND_IN: flagSchema.default(false),
});
const good = {
  KAFKA_BROKERS: '127.0.0.1:9092, 127.0.0.1:9093',
  DATABASE_URL: 'postgres://ingest:secret@127.0.0.1:5432/millrace',
  HTTP_PORT: '8080',
};

describe('the configuration of a service', () => {
  it('is read from the environment, with defaults', () => {
    expect(parseConfig(schema, { ...good, MILLRACE_CLAUDE_STAND_IN: 'true' })).toMatchObject({
      KAFKA_BROKERS: ['127.0.0.1:9092', '127.0.0.1:9093'],
      HTTP_PORT: 8080,
      HTTP_HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      SHUTDOWN_MS: 10_000,
      OTEL_EXPORTER_OTLP_TIMEOUT: 1000,
      MILLRACE_CLAUDE_STAND_IN: true,
    });
  });

  it('takes an empty variable as an absent one', () => {
    expect(parseConfig(schema, { ...good, LOG_LEVEL: '' }).LOG_LEVEL).toBe('info');
  });

  it('names every variable that is missing or wrong, and shows no value', () => {
    const parse = () => parseConfig(schema, { HTTP_PORT: '80800', DATABASE_URL: 'mysql://secret' });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(/set KAFKA_BROKERS/);
    expect(parse).toThrow(/correct HTTP_PORT/);
    expect(parse).toThrow(/correct DATABASE_URL: must be a postgres:\/\/ URL/);
    expect(parse).not.toThrow(/secret/);
  });
});
