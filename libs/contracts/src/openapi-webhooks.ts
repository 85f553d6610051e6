import type { z } from 'zod';

import {
  deliveryAttemptListSchema,
  deliveryListSchema,
  deliveryStatuses,
  deliveryViewSchema,
  replayBatchAnswerSchema,
  replayBatchSchema,
} from './deliveries.ts';
import { webhookHeaders } from './headers.ts';
import { endpointsPerTenantMax, replayBatchMax } from './limits.ts';
import { schemaRef, type JsonObject } from './schema-components.ts';
import {
  endpointRecoverySchema,
  endpointSecretRotationSchema,
  endpointTestSchema,
  webhookEndpointChangeSchema,
  webhookEndpointListSchema,
  webhookEndpointSubmissionSchema,
  webhookEndpointViewSchema,
  webhookEndpointWithSecretSchema,
} from './webhook-endpoints.ts';
import { webhookBodySchema } from './webhook-events.ts';

/** What the document says in the same words everywhere. */
export interface SharedParts {
  readonly pageParameters: readonly JsonObject[];
  /** What a list says whose filters are looked for within bounds. */
  readonly boundedPages: string;
  /** Answers of a management route that another service gives. */
  readonly problems: JsonObject;
  readonly problem: (
    ...names: readonly ('EndpointRefused' | 'Gone' | 'TooLarge' | 'UnsafeUrl')[]
  ) => JsonObject;
}

const tags = ['webhooks'];

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly schema: z.ZodType;
}

/** `/v1/webhook-endpoints` and `/v1/deliveries`. */
export function webhookPaths(shared: SharedParts): JsonObject {
  return { ...endpointPaths(shared), ...endpointActionPaths(shared), ...deliveryPaths(shared) };
}

/** What a registered endpoint is sent. */
export function endpointWebhook(): JsonObject {
  const header = (name: string, description: string): JsonObject => ({
    name,
    in: 'header',
    required: true,
    description,
    schema: { type: 'string' },
  });
  return {
    post: {
      operationId: 'endpointTold',
      tags,
      summary: 'Sent to every registered endpoint that wants events of its type',
      security: [],
      parameters: [
        header(webhookHeaders.id, 'The same for every attempt and replay: deduplicate by it.'),
        header(webhookHeaders.timestamp, 'Seconds since the epoch.'),
        header(webhookHeaders.signature, 'Standard Webhooks, one `v1,…` for each live secret.'),
        header(webhookHeaders.hexSignature, 'Lower-case hex HMAC-SHA256 of the raw body.'),
      ],
      requestBody: { required: true, content: jsonContent(webhookBodySchema) },
      responses: {
        '2XX': { description: 'Received. Anything else is tried again.' },
        410: { description: 'Disable this endpoint; what it was to be told is kept.' },
      },
    },
  };
}

function endpointPaths(shared: SharedParts): JsonObject {
  return {
    '/v1/webhook-endpoints': {
      get: {
        operationId: 'listWebhookEndpoints',
        tags,
        summary: 'The webhook endpoints of this tenant, newest first',
        parameters: [...shared.pageParameters],
        responses: answers(shared, {
          status: 200,
          text: 'A page of endpoints.',
          schema: webhookEndpointListSchema,
        }),
      },
      post: {
        operationId: 'createWebhookEndpoint',
        tags,
        summary: `Register an endpoint, one of ${endpointsPerTenantMax} at most`,
        requestBody: { required: true, content: jsonContent(webhookEndpointSubmissionSchema) },
        responses: {
          ...answers(shared, {
            status: 201,
            text: 'The endpoint, with its signing secret, which is shown once.',
            schema: webhookEndpointWithSecretSchema,
          }),
          ...shared.problem('EndpointRefused', 'TooLarge', 'UnsafeUrl'),
        },
      },
    },
    '/v1/webhook-endpoints/{id}': {
      parameters: [idParameter],
      get: {
        operationId: 'getWebhookEndpoint',
        tags,
        summary: 'One endpoint, and how it fares',
        responses: answers(shared, {
          status: 200,
          text: 'The endpoint.',
          schema: webhookEndpointViewSchema,
        }),
      },
      patch: {
        operationId: 'changeWebhookEndpoint',
        tags,
        summary: 'Change what is named of an endpoint; what waits goes to its new URL',
        requestBody: { required: true, content: jsonContent(webhookEndpointChangeSchema) },
        responses: {
          ...answers(shared, {
            status: 200,
            text: 'The endpoint as it now is.',
            schema: webhookEndpointViewSchema,
          }),
          ...shared.problem('EndpointRefused', 'TooLarge', 'UnsafeUrl'),
        },
      },
      delete: {
        operationId: 'deleteWebhookEndpoint',
        tags,
        summary: 'Take an endpoint away; what waits for it is given up',
        responses: { 204: { description: 'It is gone.' }, ...shared.problems },
      },
    },
  };
}

function endpointActionPaths(shared: SharedParts): JsonObject {
  const view = { status: 200, text: 'The endpoint.', schema: webhookEndpointViewSchema };
  const actions: Record<string, { operation: JsonObject; answer: Answer }> = {
    'rotate-secret': {
      operation: {
        operationId: 'rotateEndpointSecret',
        summary: 'Give an endpoint a new signing secret; those before it live on for a while',
        requestBody: { required: false, content: jsonContent(endpointSecretRotationSchema) },
      },
      answer: {
        status: 200,
        text: 'The endpoint, with the new secret, which is shown once.',
        schema: webhookEndpointWithSecretSchema,
      },
    },
    test: {
      operation: { operationId: 'testWebhookEndpoint', summary: 'Send an endpoint a ping' },
      answer: { status: 202, text: 'The delivery on its way.', schema: endpointTestSchema },
    },
    pause: {
      operation: { operationId: 'pauseWebhookEndpoint', summary: 'Let what is for it wait' },
      answer: view,
    },
    resume: {
      operation: { operationId: 'resumeWebhookEndpoint', summary: 'Send what waited in a pause' },
      answer: view,
    },
    enable: {
      operation: {
        operationId: 'enableWebhookEndpoint',
        summary: 'Send to an endpoint again that was disabled; what it missed is recovered apart',
      },
      answer: view,
    },
    recover: {
      operation: {
        operationId: 'recoverWebhookEndpoint',
        summary: `Send again what an endpoint missed, ${replayBatchMax} at once`,
        requestBody: { required: true, content: jsonContent(endpointRecoverySchema) },
      },
      answer: { status: 202, text: replayedText, schema: replayBatchAnswerSchema },
    },
  };
  return Object.fromEntries(
    Object.entries(actions).map(([name, { answer, operation }]) => [
      `/v1/webhook-endpoints/{id}/${name}`,
      { parameters: [idParameter], post: actionOf(shared, operation, answer) },
    ]),
  );
}

function actionOf(shared: SharedParts, operation: JsonObject, answer: Answer): JsonObject {
  const responses = { ...answers(shared, answer), ...shared.problem('EndpointRefused') };
  return { tags, ...operation, responses };
}

const replayedText = 'How many are sent again, and whether there are more.';

function deliveryPaths(shared: SharedParts): JsonObject {
  return {
    '/v1/deliveries': { get: listDeliveries(shared) },
    '/v1/deliveries/{id}': {
      parameters: [idParameter],
      get: {
        operationId: 'getDelivery',
        tags,
        summary: 'One delivery',
        responses: answers(shared, {
          status: 200,
          text: 'The delivery.',
          schema: deliveryViewSchema,
        }),
      },
    },
    '/v1/deliveries/{id}/attempts': {
      parameters: [idParameter],
      get: {
        operationId: 'listDeliveryAttempts',
        tags,
        summary: 'What a receiver answered, and how long it took, oldest attempt first',
        responses: answers(shared, {
          status: 200,
          text: 'Its attempts.',
          schema: deliveryAttemptListSchema,
        }),
      },
    },
    '/v1/deliveries/{id}/replay': {
      parameters: [idParameter],
      post: {
        operationId: 'replayDelivery',
        tags,
        summary: 'Send a delivery again that has ended: the same bytes under the same webhook-id',
        responses: {
          ...answers(shared, {
            status: 202,
            text: 'The delivery, on its way.',
            schema: deliveryViewSchema,
          }),
          ...shared.problem('EndpointRefused', 'Gone'),
        },
      },
    },
    '/v1/deliveries:replay': {
      post: {
        operationId: 'replayDeliveries',
        tags,
        summary: `Send deliveries again that fit, oldest first, ${replayBatchMax} at once`,
        requestBody: { required: true, content: jsonContent(replayBatchSchema) },
        responses: answers(shared, {
          status: 202,
          text: replayedText,
          schema: replayBatchAnswerSchema,
        }),
      },
    },
  };
}

function listDeliveries(shared: SharedParts): JsonObject {
  const filter = (name: string, schema: JsonObject = { type: 'string' }): JsonObject => ({
    name,
    in: 'query',
    schema,
  });
  const moment: JsonObject = { type: 'string', format: 'date-time' };
  return {
    operationId: 'listDeliveries',
    tags,
    summary: 'Webhooks of this tenant, newest first, kept for 30 days',
    description: shared.boundedPages,
    parameters: [
      filter('endpoint'),
      filter('status', { type: 'string', enum: [...deliveryStatuses] }),
      filter('job_id'),
      filter('since', moment),
      filter('until', moment),
      ...shared.pageParameters,
    ],
    responses: answers(shared, {
      status: 200,
      text: 'A page of deliveries.',
      schema: deliveryListSchema,
    }),
  };
}

const idParameter: JsonObject = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string' },
};

function answers(shared: SharedParts, { schema, status, text }: Answer): JsonObject {
  return { [status]: { description: text, content: jsonContent(schema) }, ...shared.problems };
}

function jsonContent(schema: z.ZodType): JsonObject {
  return { 'application/json': { schema: schemaRef(schema) } };
}
