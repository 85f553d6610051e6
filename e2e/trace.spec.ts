import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { OtlpReceiver, type ReceivedSpan } from './receivers/otlp-receiver.ts';
import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import { ended, produce, stack, uniqueId, until } from './running-stack.ts';

const kinds = { client: 3, producer: 4, consumer: 5 };

describe('the trace of a job', () => {
  let collector: OtlpReceiver;
  let receiver: WebhookReceiver;
  beforeAll(async () => {
    collector = await OtlpReceiver.listen(stack.otlpPort);
    receiver = await WebhookReceiver.listen();
  });
  afterAll(async () => {
    await collector.close();
    await receiver.close();
  });

  it('is one tree from the upstream’s traceparent to the webhook’s POST', async () => {
    const traceId = randomBytes(16).toString('hex');
    const upstreamSpan = randomBytes(8).toString('hex');
    const jobId = uniqueId('traced');
    await produce('jobs.submitted.v1', [
      {
        key: jobId,
        value: JSON.stringify({
          job_id: jobId,
          prompt: 'Say hello.',
          callback_url: receiver.url(`/${jobId}`),
        }),
        headers: { traceparent: `00-${traceId}-${upstreamSpan}-01` },
      },
    ]);
    expect((await ended(jobId)).trace_id).toBe(traceId);
    const webhook = await until('the webhook', 10_000, () => receiver.at(`/${jobId}`)[0]);
    const post = String(webhook.headers['traceparent']).split('-')[2] ?? '';
    const spans = await until('the whole trace', 20_000, () => {
      const trace = collector.trace(traceId);
      return trace.some((span) => span.spanId === post) && orphans(trace, upstreamSpan).length === 0
        ? trace
        : undefined;
    });

    expect(rootsOf(spans, upstreamSpan)).toHaveLength(1);
    expect(pathTo(spans, post)).toEqual([
      ['ingest', 'process jobs.submitted.v1', kinds.consumer],
      ['ingest', 'send claude.requested.v1', kinds.producer],
      ['claude-worker', 'process claude.requested.v1', kinds.consumer],
      ['claude-worker', 'chat claude-sonnet-5-5', kinds.client],
      ['claude-worker', 'send jobs.finished.v1', kinds.producer],
      ['webhook-dispatcher', 'process jobs.finished.v1', kinds.consumer],
      ['webhook-dispatcher', 'POST', kinds.client],
    ]);
    expectConventions(spans, jobId);
  });
});

/** Spans whose parent is neither in the trace nor the upstream's own. */
function orphans(spans: ReceivedSpan[], upstreamSpan: string): ReceivedSpan[] {
  const ids = new Set([upstreamSpan, ...spans.map((span) => span.spanId)]);
  return spans.filter((span) => !ids.has(span.parentSpanId));
}

function rootsOf(spans: ReceivedSpan[], upstreamSpan: string): ReceivedSpan[] {
  return spans.filter((span) => span.parentSpanId === upstreamSpan);
}

function pathTo(spans: ReceivedSpan[], spanId: string): [string, string, number][] {
  const span = spans.find((candidate) => candidate.spanId === spanId);
  if (!span) return [];
  return [...pathTo(spans, span.parentSpanId), [span.service, span.name, span.kind]];
}

function expectConventions(spans: ReceivedSpan[], jobId: string): void {
  for (const span of spans) {
    expect(span.attributes).toMatchObject({ 'job.id': jobId, 'tenant.id': 'default' });
  }
  for (const span of spans.filter(({ kind }) => kind === kinds.consumer)) {
    expect(span.attributes).toMatchObject({
      'messaging.system': 'kafka',
      'messaging.operation.type': 'process',
      'messaging.consumer.group.name': span.service,
    });
    expect(span.attributes['messaging.destination.partition.id']).toBeDefined();
    expect(span.attributes['messaging.kafka.offset']).toBeDefined();
  }
  for (const span of spans.filter(({ kind }) => kind === kinds.producer)) {
    expect(span.attributes).toMatchObject({
      'messaging.system': 'kafka',
      'messaging.operation.type': 'send',
      'messaging.destination.name': span.name.replace('send ', ''),
    });
  }
  const chat = spans.find((span) => span.name.startsWith('chat '));
  expect(chat?.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'anthropic',
    'gen_ai.request.model': 'claude-sonnet-5-5',
  });
  expect(chat?.attributes['gen_ai.usage.output_tokens']).toBeGreaterThan(0);
}
