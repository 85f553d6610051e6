import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { IdentityPayloadCodec, jobFinishedSchema, topics } from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import {
  Metrics,
  parseConfig,
  RuntimeModule,
  ServiceTransport,
  SilentLogger,
} from '@millrace/runtime';
import { createTestTopics, KafkaReader, type TestTopics } from '@millrace/testing';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { AgentOrchestratorModule } from './agent-orchestrator.module.ts';
import { configSchema } from './config.ts';

jest.setTimeout(60_000);

const log = new SilentLogger();
let isolated: TestTopics;
let publisher: Publisher;
let results: KafkaReader;
let app: NestFastifyApplication;

beforeAll(async () => {
  isolated = await createTestTopics();
  const kafka = createKafka({ ...isolated, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  await publisher.connect();
  results = await new KafkaReader(`${isolated.prefix}jobs.finished.v1`).start();
  const config = parseConfig(configSchema, {
    KAFKA_BROKERS: isolated.brokers.join(','),
    HTTP_PORT: '1',
  });
  const module = await Test.createTestingModule({
    imports: [
      RuntimeModule.forService(config, 'agent-orchestrator', log),
      AgentOrchestratorModule.forConfig(config, { kafkaPrefix: isolated.prefix }),
    ],
  }).compile();
  app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
    logger: false,
  });
  app.connectMicroservice({ strategy: app.get(ServiceTransport) });
  await app.init();
  await app.startAllMicroservices();
});

afterAll(async () => {
  await app.get(ServiceTransport).close();
  await app.close();
  await results.stop();
  await publisher.disconnect();
  await isolated.drop();
});

function requested(jobId: string, type: 'agent' | 'document') {
  return eventMessage({
    topic: topics.workflowsRequested,
    type: 'millrace.workflow.requested.v1',
    id: `default:${jobId}:requested`,
    source: 'ingest',
    subject: jobId,
    key: `default/${jobId}`,
    time: new Date(),
    tenant: 'default',
    data: {
      tenant: 'default',
      job_id: jobId,
      type,
      params: { messages: [] },
      reply: {
        kind: 'job',
        callback: { url: 'https://example.com/hook' },
        created_at: '2026-11-23T10:00:00.000Z',
      },
    },
    codec: new IdentityPayloadCodec(),
    context: ROOT_CONTEXT,
  });
}

describe('agent-orchestrator', () => {
  it('ends every requested workflow as failed, a repeated request with the same id', async () => {
    const agent = requested('job-1', 'agent');
    await publisher.publish([agent, agent, requested('job-2', 'document')]);
    const messages = await results.waitFor(3);
    const events = messages.map(({ headers, key, value }) => ({
      id: headers['ce_id'],
      type: headers['ce_type'],
      key: key?.toString(),
      job: jobFinishedSchema.parse(JSON.parse(value?.toString() ?? '')),
    }));
    expect(new Set(events.map(({ id }) => id))).toEqual(
      new Set(['default:job-1:finished', 'default:job-2:finished']),
    );
    for (const { type, key, job } of events) {
      expect(type).toBe('millrace.job.failed.v1');
      expect(key).toBe(job.job_id);
      expect(job).toMatchObject({
        status: 'failed',
        error: { code: 'not_available_yet' },
        attempts: [],
        callback: { url: 'https://example.com/hook' },
      });
    }
  });
});
