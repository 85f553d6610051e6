import { DiagnosticSeverity, Parser } from '@asyncapi/parser';
import { describe, expect, it, jest } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';

import { asyncApiDocument } from './asyncapi.ts';
import { openApiDocument } from './openapi.ts';
import { topicList } from './topics.ts';

/** The validators load and compile large schemas. */
jest.setTimeout(60_000);

/** Every `$ref` in a document. */
function refsOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === '$ref' && typeof inner === 'string' ? [inner] : refsOf(inner),
  );
}

function find(document: unknown, ref: string): unknown {
  return ref
    .replace('#/', '')
    .split('/')
    .reduce<unknown>(
      (place, name) =>
        Object.entries(place ?? {}).find(
          ([key]) => key === name.replaceAll('~1', '/').replaceAll('~0', '~'),
        )?.[1],
      document,
    );
}

describe('the OpenAPI document', () => {
  const document = openApiDocument();

  it('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
  });

  it('refers only to what it has', () => {
    const missing = refsOf(document).filter((ref) => find(document, ref) === undefined);
    expect(missing).toEqual([]);
  });

  it('has the routes of this release and the webhook', () => {
    expect(Object.keys(Object(document['paths'])).sort()).toEqual([
      '/asyncapi.json',
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/readyz',
      '/v1/api-keys',
      '/v1/api-keys/{id}',
      '/v1/dead-letters',
      '/v1/dead-letters/{id}',
      '/v1/dead-letters/{id}/redrive',
      '/v1/dead-letters:redrive',
      '/v1/deliveries',
      '/v1/deliveries/{id}',
      '/v1/deliveries/{id}/attempts',
      '/v1/deliveries/{id}/replay',
      '/v1/deliveries:replay',
      '/v1/documents',
      '/v1/documents/{id}',
      '/v1/inbound-sources',
      '/v1/inbound-sources/{id}',
      '/v1/inbound-sources/{id}/secrets',
      '/v1/inbound/{source}',
      '/v1/jobs',
      '/v1/jobs/{id}',
      '/v1/jobs/{id}/approvals',
      '/v1/jobs/{id}/approvals/{approval_id}',
      '/v1/jobs/{id}/budget',
      '/v1/jobs/{id}/cancel',
      '/v1/jobs/{id}/events',
      '/v1/jobs/{id}/fork',
      '/v1/jobs/{id}/signals/{name}',
      '/v1/jobs/{id}/timeline',
      '/v1/jobs:batch',
      '/v1/redeliveries',
      '/v1/redeliveries/{id}',
      '/v1/sessions/{id}',
      '/v1/stream',
      '/v1/tenants',
      '/v1/tenants/{id}',
      '/v1/tenants/{id}/enable',
      '/v1/tenants/{id}/rotate-webhook-secret',
      '/v1/tools',
      '/v1/tools/{name}',
      '/v1/webhook-endpoints',
      '/v1/webhook-endpoints/{id}',
      '/v1/webhook-endpoints/{id}/enable',
      '/v1/webhook-endpoints/{id}/pause',
      '/v1/webhook-endpoints/{id}/recover',
      '/v1/webhook-endpoints/{id}/resume',
      '/v1/webhook-endpoints/{id}/rotate-secret',
      '/v1/webhook-endpoints/{id}/test',
    ]);
    expect(Object.keys(Object(document['webhooks']))).toEqual(['jobFinished', 'endpointTold']);
  });

  it('asks for a key on every /v1 route but those that signatures open, and on no other', () => {
    for (const [path, item] of Object.entries<object>(Object(document['paths']))) {
      for (const [method, operation] of Object.entries<object>(Object(item))) {
        if (method === 'parameters') continue;
        const isOpen = !path.startsWith('/v1/') || path === '/v1/inbound/{source}';
        expect([path, 'security' in operation]).toEqual([path, isOpen]);
      }
    }
  });
});

describe('the AsyncAPI document', () => {
  const document = asyncApiDocument();

  it('is valid AsyncAPI 3', async () => {
    const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(document));
    const errors = diagnostics.filter(({ severity }) => severity === DiagnosticSeverity.Error);
    expect(errors).toEqual([]);
    expect(parsed?.version()).toBe('3.0.0');
  });

  it('refers only to what it has', () => {
    const missing = refsOf(document).filter((ref) => find(document, ref) === undefined);
    expect(missing).toEqual([]);
  });

  it('has every topic and dead letter topic of the table', () => {
    const addresses = Object.values(Object(document['channels'])).map(
      (channel) => Object(channel).address,
    );
    const wanted = topicList.flatMap(({ name, deadLetters }) =>
      deadLetters ? [name, `${name}.dlq`] : [name],
    );
    expect(addresses.sort()).toEqual(wanted.sort());
  });
});
