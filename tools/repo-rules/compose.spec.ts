import { beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

import { readText } from './repository.ts';
import { portVariables, services, variablesOf } from './service-config.ts';

interface ComposeService {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly stop_grace_period?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

const compose: { services: Record<string, ComposeService> } = parse(
  readText('docker-compose.yml'),
  { merge: true },
);

/** What Compose makes of `${NAME:-default}` where nothing is set. */
function interpolate(text: string): string {
  return text
    .replaceAll(/\$\{[A-Z_]+:-([^}]*)\}/g, '$1')
    .replaceAll(/\$\{([A-Z_]+):\?[^}]*\}/g, 'given-by-$1');
}

describe('docker-compose.yml', () => {
  it('is valid by the Compose Specification’s schema', () => {
    // Its `$schema` is draft 7 with https, which ajv knows by its http name.
    const { $schema: dialect, ...schema } = JSON.parse(
      readText('node_modules/dclint/schemas/compose.schema.json'),
    );
    expect(dialect).toBe('https://json-schema.org/draft-07/schema');
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats.default(ajv);
    const validate = ajv.compile(schema);
    validate(compose);
    expect(validate.errors).toBeNull();
  });

  it('says that it was not run', () => {
    expect(readText('docker-compose.yml')).toContain('Not run');
  });

  it('has Kafka, Postgres, Jaeger and every service', () => {
    expect(Object.keys(compose.services)).toEqual(
      expect.arrayContaining(['kafka', 'postgres', 'jaeger', ...services]),
    );
  });

  it('opens ports on the loopback address only', () => {
    const open = Object.values(compose.services).flatMap(({ ports }) => ports ?? []);
    expect(open.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('chooses ports by the same variables and defaults as the local stack', () => {
    const ports = Object.values(compose.services).flatMap(({ ports }) => ports ?? []);
    const chosen = ports.flatMap((port) =>
      [...port.matchAll(/\$\{([A-Z_]+):-(\d+)\}/g)].map(([, name, value]) => [name, value]),
    );
    const table = portVariables();
    expect(chosen.filter(([name]) => name !== undefined && !(name in table))).toEqual([]);
    expect(chosen.map(([name, value]) => `${name}=${value}`)).toEqual(
      chosen.map(([name]) => `${name}=${table[name ?? '']}`),
    );
  });

  it('pins every image', () => {
    const images = Object.values(compose.services).map(({ image }) => image ?? '');
    const loose = images.filter((image) => !/^millrace\/|:\d+(?:\.\d+)*$/.test(image));
    expect(loose).toEqual([]);
  });
});

describe.each(services)('%s in docker-compose.yml', (name) => {
  const service = compose.services[name] ?? {};
  const environment = service.environment ?? {};
  let known: readonly string[] = [];
  beforeAll(() => {
    known = variablesOf(name);
  });

  it('gets only variables that it reads', () => {
    const unread = Object.keys(environment).filter(
      (variable) => !known.includes(variable) && !variable.startsWith('OTEL_'),
    );
    expect(unread).toEqual([]);
  });

  it('gets where Kafka and its database are', () => {
    expect(environment['KAFKA_BROKERS']).toBe('kafka:19092');
    const url = environment['DATABASE_URL'];
    const role = name.replaceAll('-', '_');
    if (known.includes('DATABASE_URL')) {
      expect(interpolate(url ?? '')).toBe(`postgres://${role}:${role}@postgres:5432/millrace`);
    } else {
      expect(url).toBeUndefined();
    }
  });

  it('is given longer to stop than it takes', () => {
    const seconds = /^(\d+)s$/.exec(service.stop_grace_period ?? '')?.[1];
    expect(Number(seconds) * 1_000).toBeGreaterThan(Number(environment['SHUTDOWN_MS']));
  });

  it('listens on the port that is published, from every address of its container', () => {
    expect(environment['HTTP_HOST']).toBe('0.0.0.0');
    expect(service.ports?.map((port) => port.split(':').at(-1))).toEqual([
      environment['HTTP_PORT'],
    ]);
  });

  it('runs what the build makes', () => {
    expect(service.command).toEqual(['node', `apps/${name}/dist/main.js`]);
  });
});

it('claude-worker alone gets the key of the real API', () => {
  const others = Object.entries(compose.services)
    .filter(([name]) => name !== 'claude-worker')
    .filter(([, { environment }]) =>
      Object.keys(environment ?? {}).some((variable) => variable.startsWith('ANTHROPIC_')),
    );
  expect(others.map(([name]) => name)).toEqual([]);
});
