import { describe, expect, it } from '@jest/globals';

import { serviceEnvironment } from '../stack/environment.mjs';
import { portsFromEnvironment } from '../stack/ports.mjs';
import { readText } from './repository.ts';
import { commandLineVariables, portVariables, services, variablesOf } from './service-config.ts';

const example = readText('.env.example');
const readme = readText('README.md');

const wanted = [
  ...new Set([
    ...services.flatMap((service) => variablesOf(service)),
    ...commandLineVariables(),
    ...Object.keys(portVariables()),
  ]),
].sort();

function variablesIn(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, name]) => name ?? ''))].sort();
}

const inExample = variablesIn(example, /^#? ?([A-Z][A-Z0-9_]+)=/gm);
/** Rows of the README's tables begin with a variable's name. */
const inReadme = variablesIn(readme, /^\| `([A-Z][A-Z0-9_]+)` \|/gm);

describe('every variable that a service or the command line reads', () => {
  it.each(services)('%s has variables', (service) => {
    expect(variablesOf(service)).toContain('KAFKA_BROKERS');
  });

  it('stands in .env.example', () => {
    expect(wanted.filter((name) => !inExample.includes(name))).toEqual([]);
  });

  it('stands in the table of the README', () => {
    expect(wanted.filter((name) => !inReadme.includes(name))).toEqual([]);
  });
});

describe.each(services)('the local stack', (service) => {
  const given = serviceEnvironment(service, {
    ports: portsFromEnvironment({}),
    inherited: {},
    rolePasswords: {},
    apiKey: '',
    adminKey: '',
    webhookSecret: '',
    internalKey: '',
    secretsKey: '',
    toolTokenKey: '',
    claude: { baseUrl: 'http://127.0.0.1', apiKey: '', isStandIn: true },
  });

  it(`gives ${service} only what it reads`, () => {
    const unread = Object.keys(given).filter(
      (name) => !variablesOf(service).includes(name) && name !== 'NODE_ENV',
    );
    expect(unread).toEqual([]);
  });
});

describe('every variable that is documented', () => {
  // Read by the OpenTelemetry SDK and by the local stack, not by a config.ts.
  const readElsewhere = /^OTEL_|^MILLRACE_HOME$|^KAFKA_JVM_PERFORMANCE_OPTS$/;

  it('is read by a service or the local stack', () => {
    const orphans = [...inExample, ...inReadme].filter(
      (name) => !wanted.includes(name) && !readElsewhere.test(name),
    );
    expect(orphans).toEqual([]);
  });
});
