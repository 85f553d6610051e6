import { createHash } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';
import {
  endpointDisabledSchema,
  inlineBodyBytesMax,
  jobFinishedSchema,
  webhookBodySchema,
} from '@millrace/contracts';
import { signingKeysOf } from '@millrace/egress/core';

import type { Endpoint } from './endpoint.ts';
import { newDeliveries, type FinishedRecord } from './new-delivery.ts';
import { noticeDeliveries } from './notice-deliveries.ts';

const eventId = 'acme:job-1:finished';
const eventType = 'millrace.job.succeeded.v1';
const publicUrl = 'https://millrace.example/';
const nowMs = Date.UTC(2026, 10, 23, 12);

function endpoint(id: string, changes: Partial<Endpoint> = {}): Endpoint {
  const keys = signingKeysOf('whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=');
  return {
    tenant: 'acme',
    id: `ep_${id.padEnd(26, '0')}`,
    url: `https://${id}.example/hook`,
    eventTypes: [],
    payload: 'full',
    status: 'enabled',
    inFlightMax: 10,
    ratePerSecond: null,
    timeoutMs: 15_000,
    scheduleMs: null,
    secrets: { headers: {}, signing: [{ keys, expiresAtMs: null }] },
    ...changes,
  };
}

function finished(changes: object = {}): FinishedRecord {
  return {
    eventId,
    eventType,
    job: jobFinishedSchema.parse({
      tenant: 'acme',
      job_id: 'job-1',
      type: 'message',
      status: 'succeeded',
      result: 'the answer',
      attempts: [],
      callback: { url: 'https://caller.example/hook' },
      created_at: '2026-11-22T23:59:59.000Z',
      finished_at: '2026-11-23T10:00:01.000Z',
      ...changes,
    }),
    source: { topic: 'jobs.finished.v1', partition: 0, offset: '7' },
    original: { key: 'job-1', headers: { ce_id: eventId }, value: Buffer.from('{}') },
    traceHeaders: {},
  };
}

function bodyOf(delivery: { readonly body: Buffer } | undefined) {
  return webhookBodySchema.parse(JSON.parse(delivery?.body.toString('utf8') ?? ''));
}

describe('the deliveries of a finished job', () => {
  it('go to its callback and to every endpoint that wants its type, under one webhook-id', () => {
    const endpoints = [
      endpoint('ALL'),
      endpoint('SAME', { eventTypes: ['millrace.job.failed.v1', eventType] }),
      endpoint('OTHER', { eventTypes: ['millrace.job.failed.v1'] }),
    ];
    const deliveries = newDeliveries(finished(), { publicUrl, nowMs, endpoints });
    expect(deliveries.map(({ origin, url }) => [origin, url])).toEqual([
      ['https://caller.example', 'https://caller.example/hook'],
      [endpoints[0]?.id, 'https://ALL.example/hook'],
      [endpoints[1]?.id, 'https://SAME.example/hook'],
    ]);
    const [callback, first] = deliveries;
    expect(new Set(deliveries.map(({ webhookId }) => webhookId)).size).toBe(1);
    expect(callback).toMatchObject({ id: callback?.webhookId, endpoint: null, day: '2026-11-22' });
    expect(first).toMatchObject({
      id: `${callback?.webhookId}.${endpoints[0]?.id}`,
      endpoint: endpoints[0]?.id,
      record: null,
      day: '2026-11-22',
    });
  });

  it('are none for a job that nobody wants to hear of', () => {
    const endpoints = [endpoint('OTHER', { eventTypes: ['millrace.job.failed.v1'] })];
    const record = finished({ callback: undefined });
    expect(newDeliveries(record, { publicUrl, nowMs, endpoints })).toEqual([]);
  });

  it('have a full or a thin body, as their endpoint asks', () => {
    const endpoints = [endpoint('FULL'), endpoint('THIN', { payload: 'thin' })];
    const [, full, thin] = newDeliveries(finished(), { publicUrl, nowMs, endpoints });
    const head = { type: eventType, timestamp: '2026-11-23T10:00:01.000Z' };
    expect(bodyOf(full)).toMatchObject({
      ...head,
      data: { job_id: 'job-1', status: 'succeeded', result: 'the answer' },
    });
    expect(bodyOf(thin)).toEqual({
      ...head,
      data: {
        job_id: 'job-1',
        status: 'succeeded',
        result_url: 'https://millrace.example/v1/jobs/job-1',
      },
    });
  });

  it('are thin above 256 KiB, and say what they left out', () => {
    const result = 'a'.repeat(inlineBodyBytesMax);
    const context = { publicUrl, nowMs, endpoints: [endpoint('FULL')] };
    const [, large] = newDeliveries(finished({ result }), context);
    const { data } = bodyOf(large);
    const left = JSON.stringify({
      type: eventType,
      timestamp: '2026-11-23T10:00:01.000Z',
      data: {
        job_id: 'job-1',
        status: 'succeeded',
        result,
        finished_at: '2026-11-23T10:00:01.000Z',
      },
    });
    expect(data).toEqual({
      job_id: 'job-1',
      status: 'succeeded',
      result_url: 'https://millrace.example/v1/jobs/job-1',
      truncated: true,
      size: left.length,
      sha256: createHash('sha256').update(left).digest('hex'),
    });
  });

  it('begin when the schedule of their endpoint says', () => {
    const endpoints = [endpoint('LATER', { scheduleMs: [2_000, 5_000] }), endpoint('NOW')];
    const deliveries = newDeliveries(finished(), { publicUrl, nowMs, endpoints });
    expect(deliveries.map(({ firstAfterMs }) => firstAfterMs)).toEqual([0, 2_000, 0]);
  });
});

describe('the deliveries of a notice', () => {
  it('go to the other endpoints that want it, and never to the one that it is about', () => {
    const about = endpoint('DEAD');
    const type = 'millrace.endpoint.disabled.v1';
    const others = [
      endpoint('ALL'),
      endpoint('WANTS', { eventTypes: [type] }),
      endpoint('JOBS', { eventTypes: [eventType] }),
    ];
    const notice = endpointDisabledSchema.parse({
      tenant: 'acme',
      endpoint: about.id,
      url: 'https://about.example/hook',
      at: '2026-11-23T10:00:01.000Z',
      reason: 'gone',
    });
    const deliveries = noticeDeliveries(
      { eventId: 'cause', eventType: type, notice, traceHeaders: {} },
      { endpoints: [about, ...others], nowMs },
    );
    expect(deliveries.map(({ endpoint: id }) => id)).toEqual([others[0]?.id, others[1]?.id]);
    expect(bodyOf(deliveries[0])).toEqual({
      type,
      timestamp: '2026-11-23T10:00:01.000Z',
      data: { endpoint: about.id, url: 'https://about.example/hook', reason: 'gone' },
    });
    expect(deliveries[0]).toMatchObject({ jobId: null, day: '2026-11-23' });
  });
});
