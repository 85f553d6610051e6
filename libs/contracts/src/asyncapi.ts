import type { z } from 'zod';

import { cloudEventHeaders, deadLetterHeaders, traceHeaders } from './headers.ts';
import { bareSubmissionSchema } from './jobs.ts';
import { eventComponents, schemaRef, type JsonObject } from './schema-components.ts';
import {
  deadLetterTopicOf,
  isIntakeTopic,
  isPerTenant,
  topics,
  type Topic,
} from './topics.ts';

/** The Kafka side as AsyncAPI 3, made from the topic table and the events' schemas. */
export function asyncApiDocument(): JsonObject {
  const rows: [string, Topic][] = Object.entries(topics);
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Millrace',
      version: '1',
      description:
        'CloudEvents 1.0 in binary mode. The key of a record is its ordering key.',
    },
    defaultContentType: 'application/json',
    servers: {
      local: { host: '127.0.0.1:9092', protocol: 'kafka', description: 'The local stack.' },
    },
    channels: Object.fromEntries(rows.flatMap(([id, topic]) => channels(id, topic))),
    operations: Object.fromEntries(rows.flatMap(([id, topic]) => operations(id, topic))),
    components: {
      schemas: {
        ...eventComponents(),
        CloudEventHeaders: cloudEventHeadersSchema(),
        DeadLetterHeaders: deadLetterHeadersSchema(),
      },
      messages: Object.fromEntries(rows.flatMap(([, topic]) => messages(topic))),
    },
  };
}

const bareMessage = 'bare';

function channels(id: string, topic: Topic): [string, JsonObject][] {
  const channel: JsonObject = {
    address: topic.name,
    ...tenantParameter(topic),
    description: `${topic.summary} Direction: ${topic.direction}. Key: ${topic.key}.`,
    messages: Object.fromEntries(
      messages(topic).map(([name]) => [name, { $ref: `#/components/messages/${name}` }]),
    ),
    bindings: {
      kafka: {
        topic: topic.name,
        partitions: topic.partitions,
        topicConfiguration: {
          'cleanup.policy': [topic.cleanup],
          'retention.ms': topic.retentionMs,
        },
        bindingVersion: '0.5.0',
      },
    },
  };
  return topic.deadLetters ? [[id, channel], deadLetterChannel(id, topic)] : [[id, channel]];
}

/** An address with `{tenant}` in it says what to put there. */
function tenantParameter(topic: Topic): JsonObject {
  if (!isPerTenant(topic)) return {};
  return { parameters: { tenant: { description: 'The id of the tenant whose topic it is.' } } };
}

function deadLetterChannel(id: string, topic: Topic): [string, JsonObject] {
  return [
    `${id}DeadLetters`,
    {
      address: deadLetterTopicOf(topic.name),
      ...tenantParameter(topic),
      description: `Records of ${topic.name} that nobody could use: untouched, with the reason.`,
      messages: {
        deadLetter: {
          name: 'deadLetter',
          summary: 'The record as it came, with the reason in its headers.',
          headers: { $ref: '#/components/schemas/DeadLetterHeaders' },
          payload: {},
        },
      },
    },
  ];
}

/** An operation for each service and topic, said by what the service does. */
function operations(id: string, topic: Topic): [string, JsonObject][] {
  const operation = (service: string, action: 'send' | 'receive'): [string, JsonObject] => [
    `${service}.${action}.${id}`,
    {
      action,
      channel: { $ref: `#/channels/${id}` },
      summary: `${service} ${action === 'send' ? 'publishes to' : 'reads'} ${topic.name}`,
    },
  ];
  return [
    ...topic.producers
      .filter((service) => service !== 'upstream')
      .map((service) => operation(service, 'send')),
    ...topic.consumers
      .filter((service) => service !== 'subscriber')
      .map((service) => operation(service, 'receive')),
  ];
}

function messages(topic: Topic): [string, JsonObject][] {
  const events = Object.entries(topic.types).map(([type, schema]): [string, JsonObject] => [
    type,
    {
      name: type,
      contentType: 'application/json',
      headers: { $ref: '#/components/schemas/CloudEventHeaders' },
      payload: schemaRef(schema),
    },
  ]);
  return isIntakeTopic(topic) ? [...events, bareSubmissionMessage()] : events;
}

function bareSubmissionMessage(): [string, JsonObject] {
  const schema: z.ZodType = bareSubmissionSchema;
  return [
    bareMessage,
    {
      name: bareMessage,
      summary: 'A JSON body without CloudEvents headers.',
      contentType: 'application/json',
      payload: schemaRef(schema),
    },
  ];
}

function stringHeaders(names: readonly string[], required: readonly string[]): JsonObject {
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
    required,
  };
}

function cloudEventHeadersSchema(): JsonObject {
  const { id, source, type, specVersion } = cloudEventHeaders;
  const names = [...Object.values(cloudEventHeaders), ...Object.values(traceHeaders)];
  return stringHeaders(names, [id, source, type, specVersion]);
}

function deadLetterHeadersSchema(): JsonObject {
  const names = Object.values(deadLetterHeaders);
  return stringHeaders(names, names);
}
