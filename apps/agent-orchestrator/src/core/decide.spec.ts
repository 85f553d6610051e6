import { describe, expect, it } from '@jest/globals';
import { jobFinishedSchema, workflowRequestedSchema } from '@millrace/contracts';
import fc from 'fast-check';

import { decide } from './decide.ts';

const requestedAt = new Date('2026-11-23T10:00:00.123Z');

const requests = fc
  .record(
    {
      tenant: fc.constantFrom('default', 'acme'),
      job_id: fc.stringMatching(/^[A-Za-z0-9._:-]{1,128}$/),
      type: fc.constantFrom('agent', 'document'),
      session_id: fc.constant('session-1'),
      params: fc.constant({ messages: [] }),
      reply: fc.record(
        {
          kind: fc.constant('job'),
          callback: fc.record({ url: fc.webUrl() }),
          metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
          created_at: fc.constant('2026-11-23T09:59:59.000Z'),
        },
        { requiredKeys: ['kind', 'created_at'] },
      ),
    },
    { requiredKeys: ['tenant', 'job_id', 'type', 'reply'] },
  )
  .map((request) => workflowRequestedSchema.parse(request));

describe('decide', () => {
  it('ends every workflow as failed, with what the reply asks for copied', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const { eventId, finished } = decide(request, requestedAt);
        expect(eventId).toBe(`${request.tenant}:${request.job_id}:finished`);
        expect(jobFinishedSchema.parse(finished)).toEqual(finished);
        expect(finished).toMatchObject({
          status: 'failed',
          type: request.type,
          error: { code: 'not_available_yet' },
          attempts: [],
          created_at: request.reply.created_at,
          finished_at: '2026-11-23T10:00:00.123Z',
        });
        expect(finished.callback).toEqual(request.reply.callback);
        expect(finished.metadata).toEqual(request.reply.metadata);
        expect(finished.session_id).toBe(request.session_id);
      }),
    );
  });

  it('answers a request that is delivered twice with the same event', () => {
    fc.assert(
      fc.property(requests, (request) => {
        expect(decide(request, requestedAt)).toEqual(decide(request, requestedAt));
      }),
    );
  });
});
