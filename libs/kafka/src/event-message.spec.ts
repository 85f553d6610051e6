import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { IdentityPayloadCodec, PayloadCodec, topics } from '@millrace/contracts';
import { extractTrace } from '@millrace/runtime';
import { SpanKind, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';

import { eventMessage } from './event-message.ts';
import { endProcessSpan, startProcessSpan } from './process-span.ts';

const exporter = new InMemorySpanExporter();
const upstream = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

beforeAll(() => {
  const spanProcessors = [new SimpleSpanProcessor({ exporter })];
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors }));
});

afterAll(() => trace.disable());

class ReversingCodec extends PayloadCodec {
  encode(body: Buffer): Buffer {
    return Buffer.from(body).reverse();
  }

  decode(body: Buffer): Buffer {
    return Buffer.from(body).reverse();
  }
}

const data = {
  tenant: 'default',
  job_id: 'j1',
  status: 'running',
  attempt: 1,
  at: '2026-01-01T00:00:00Z',
};

function message(codec: PayloadCodec = new IdentityPayloadCodec()) {
  return eventMessage({
    topic: topics.jobsProgressed,
    type: 'millrace.job.progressed.v1',
    id: 'default:j1:progressed',
    source: 'claude-worker',
    subject: 'j1',
    key: 'j1',
    time: new Date('2026-01-01T00:00:00Z'),
    tenant: 'default',
    data,
    codec,
    context: extractTrace({ traceparent: upstream }),
  });
}

describe('an event message', () => {
  it('is a CloudEvent in binary mode', () => {
    const { headers, value, key, topic } = message();
    expect({ topic, key }).toEqual({ topic: 'jobs.progressed.v1', key: 'j1' });
    expect(JSON.parse(String(value))).toEqual(data);
    expect(headers).toEqual({
      ce_id: 'default:j1:progressed',
      ce_source: '/millrace/claude-worker',
      ce_type: 'millrace.job.progressed.v1',
      ce_specversion: '1.0',
      ce_time: '2026-01-01T00:00:00.000Z',
      ce_tenant: 'default',
      ce_subject: 'j1',
      'content-type': 'application/json',
      traceparent: expect.stringMatching(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/),
    });
  });

  it('passes its body through the codec', () => {
    const codec = new ReversingCodec();
    const { value } = message(codec);
    expect(JSON.parse(String(codec.decode(value ?? Buffer.alloc(0))))).toEqual(data);
  });

  it('is refused with a type that its topic does not have', () => {
    const wrong = { ...topics.jobsProgressed, types: {} };
    const build = () =>
      eventMessage({
        topic: wrong,
        type: 'millrace.job.progressed.v1',
        id: 'x',
        source: 'ingest',
        key: null,
        time: new Date(0),
        tenant: 'default',
        data,
        codec: new IdentityPayloadCodec(),
        context: extractTrace({}),
      });
    expect(build).toThrow(/not a type of jobs\.progressed\.v1/);
  });
});

describe('the spans of one hop', () => {
  it('are one tree: upstream, send, process, with the attributes of the conventions', () => {
    exporter.reset();
    const sent = message();
    sent.onSettled?.();
    const place = { topic: sent.topic, partition: 2, offset: '41', headers: sent.headers };
    endProcessSpan(startProcessSpan(place, 'ingest', data), undefined);

    const [send, process] = exporter.getFinishedSpans();
    expect(send).toMatchObject({
      name: 'send jobs.progressed.v1',
      kind: SpanKind.PRODUCER,
      parentSpanContext: { spanId: 'b7ad6b7169203331' },
      attributes: {
        'messaging.system': 'kafka',
        'messaging.operation.type': 'send',
        'messaging.destination.name': 'jobs.progressed.v1',
        'messaging.message.id': 'default:j1:progressed',
        'job.id': 'j1',
        'tenant.id': 'default',
      },
    });
    expect(process).toMatchObject({
      name: 'process jobs.progressed.v1',
      kind: SpanKind.CONSUMER,
      parentSpanContext: { spanId: send?.spanContext().spanId },
      attributes: {
        'messaging.operation.type': 'process',
        'messaging.consumer.group.name': 'ingest',
        'messaging.destination.partition.id': '2',
        'messaging.kafka.offset': 41,
        'job.id': 'j1',
        'tenant.id': 'default',
      },
    });
    expect(process?.spanContext().traceId).toBe('0af7651916cd43dd8448eb211c80319c');
  });
});
