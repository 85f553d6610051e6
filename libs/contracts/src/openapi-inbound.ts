import type { z } from 'zod';

import {
  inboundAnswerSchema,
  inboundSecretSchema,
  inboundSourceChangeSchema,
  inboundSourceListSchema,
  inboundSourceSubmissionSchema,
  inboundSourceViewSchema,
} from './inbound-sources.ts';
import { inboundSourcesPerTenantMax } from './limits.ts';
import type { SharedParts } from './openapi-webhooks.ts';
import { schemaRef, type JsonObject } from './schema-components.ts';

const tags = ['inbound'];

/** `/v1/inbound-sources`, and the addresses that they stand for. */
export function inboundPaths(shared: SharedParts): JsonObject {
  return {
    '/v1/inbound-sources': {
      get: {
        operationId: 'listInboundSources',
        tags,
        summary: 'Where webhooks of other systems come in, newest first',
        parameters: [...shared.pageParameters],
        responses: answers(shared, 'A page of sources.', inboundSourceListSchema),
      },
      post: {
        operationId: 'createInboundSource',
        tags,
        summary: `Make an address for another system, one of ${inboundSourcesPerTenantMax} at most`,
        requestBody: body(inboundSourceSubmissionSchema),
        responses: {
          201: { description: 'The source.', content: jsonContent(inboundSourceViewSchema) },
          ...shared.problems,
          ...shared.problem('EndpointRefused', 'TooLarge'),
        },
      },
    },
    '/v1/inbound-sources/{id}': {
      parameters: [idParameter],
      get: {
        operationId: 'getInboundSource',
        tags,
        summary: 'One source, without its secrets',
        responses: answers(shared, 'The source.', inboundSourceViewSchema),
      },
      patch: {
        operationId: 'changeInboundSource',
        tags,
        summary: 'Change what is named of a source, or switch it off',
        requestBody: body(inboundSourceChangeSchema),
        responses: changed(shared),
      },
      delete: {
        operationId: 'deleteInboundSource',
        tags,
        summary: 'Take a source away; its address is gone for good',
        responses: { 204: { description: 'It is gone.' }, ...shared.problems },
      },
    },
    '/v1/inbound-sources/{id}/secrets': {
      parameters: [idParameter],
      post: {
        operationId: 'addInboundSecret',
        tags,
        summary: 'Believe another secret, beside those before it or in their place',
        requestBody: body(inboundSecretSchema),
        responses: changed(shared),
      },
    },
    '/v1/inbound/{source}': inboundPath(shared),
  };
}

/** What another system sends. Its signature is its key. */
function inboundPath(shared: SharedParts): JsonObject {
  const told = (description: string): JsonObject => ({
    description,
    content: jsonContent(inboundAnswerSchema),
  });
  return {
    parameters: [{ ...idParameter, name: 'source' }],
    post: {
      operationId: 'receiveInbound',
      tags,
      summary: 'Take a signed webhook of another system, which starts a job',
      security: [],
      requestBody: { required: true, content: { '*/*': { schema: { type: 'object' } } } },
      responses: {
        200: told('It was delivered before, is a handshake, or starts no job by its type.'),
        202: told('A job was accepted; it is durable.'),
        ...shared.problems,
        ...shared.problem('TooLarge'),
      },
    },
  };
}

function changed(shared: SharedParts): JsonObject {
  return {
    ...answers(shared, 'The source as it now is.', inboundSourceViewSchema),
    ...shared.problem('EndpointRefused', 'TooLarge'),
  };
}

function answers(shared: SharedParts, description: string, schema: z.ZodType): JsonObject {
  return { 200: { description, content: jsonContent(schema) }, ...shared.problems };
}

function body(schema: z.ZodType): JsonObject {
  return { required: true, content: jsonContent(schema) };
}

function jsonContent(schema: z.ZodType): JsonObject {
  return { 'application/json': { schema: schemaRef(schema) } };
}

const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^src_[A-Za-z0-9_-]{32}$' },
} satisfies JsonObject;
