import { describe, expect, it } from '@jest/globals';

import {
  bareSubmissionSchema,
  isTerminal,
  jobStatuses,
  jobSubmissionSchema,
  messageParamsSchema,
  streamRequestSchema,
  terminalStatuses,
} from './jobs.ts';
import { callbackUrlLengthMax, metadataEntriesMax, metadataValueLengthMax } from './limits.ts';

type Row = readonly [what: string, value: unknown, good: boolean];

const params = { messages: [{ role: 'user', content: 'hello' }] };
const manyEntries = Object.fromEntries(
  Array.from({ length: metadataEntriesMax + 1 }, (_, index) => [`key${index}`, 'value']),
);

const submissions: readonly Row[] = [
  ['a prompt', { prompt: 'hello' }, true],
  ['parameters', { params }, true],
  ['every field', {
    job_id: 'order:1',
    type: 'agent',
    params,
    callback_url: 'https://example.com/hook',
    session_id: 's1',
    lane: 'bulk',
    metadata: { a: 'b' },
    run_at: '2026-11-24T09:00:00+01:00',
    complete_by: '2026-11-24T09:00:00.5Z',
    trace_content: false,
  }, true],
  ['neither prompt nor parameters', {}, false],
  ['both prompt and parameters', { prompt: 'hello', params }, false],
  ['an empty prompt', { prompt: '' }, false],
  ['a prompt that is a number', { prompt: 7 }, false],
  ['an unknown field', { prompt: 'hello', priority: 1 }, false],
  ['a field of a later release', { prompt: 'hello', budget: { usd: 1 } }, false],
  ['a run_at without an offset', { prompt: 'hello', run_at: '2026-01-01T00:00:00' }, false],
  ['a run_at on no day', { prompt: 'hello', run_at: '2026-02-30T00:00:00Z' }, false],
  ['a complete_by that is a number', { prompt: 'hello', complete_by: 1_800_000_000 }, false],
  ['an unknown type', { prompt: 'hello', type: 'image' }, false],
  ['an unknown lane', { prompt: 'hello', lane: 'fast' }, false],
  ['a job id with a slash', { prompt: 'hello', job_id: 'a/b' }, false],
  ['a job id that is null', { prompt: 'hello', job_id: null }, false],
  ['trace_content: true', { prompt: 'hello', trace_content: true }, false],
  ['too many metadata entries', { prompt: 'hello', metadata: manyEntries }, false],
  ['metadata that is not text', { prompt: 'hello', metadata: { a: 1 } }, false],
  [
    'a metadata value that is too long',
    { prompt: 'hello', metadata: { a: 'x'.repeat(metadataValueLengthMax + 1) } },
    false,
  ],
  [
    'a callback URL that is too long',
    { prompt: 'hello', callback_url: 'x'.repeat(callbackUrlLengthMax + 1) },
    false,
  ],
  ['an agent with a budget', { type: 'agent', prompt: 'hello', budget: { usd: 1 } }, true],
  ['a message with a budget', { prompt: 'hello', budget: { usd: 1 } }, false],
  ['a budget of nothing', { type: 'agent', prompt: 'hello', budget: { usd: 0 } }, false],
  ['an array', [], false],
  ['null', null, false],
  ['text', 'hello', false],
];

const bareSubmissions: readonly Row[] = [
  ['a prompt alone', { prompt: 'hello' }, true],
  ['all four fields', {
    job_id: 'order-1',
    prompt: 'hello',
    callback_url: 'https://example.com/hook',
    submitted_at: '2026-01-01T00:00:00Z',
  }, true],
  ['a time in seconds', { prompt: 'hello', submitted_at: 1_767_225_600.5 }, true],
  ['no prompt', { job_id: 'order-1' }, false],
  ['an unknown field', { prompt: 'hello', lane: 'bulk' }, false],
  ['a bad job id', { prompt: 'hello', job_id: 'a b' }, false],
  ['a time that is an object', { prompt: 'hello', submitted_at: {} }, false],
];

const streamRequests: readonly Row[] = [
  ['a prompt', { prompt: 'hello' }, true],
  ['parameters', { params }, true],
  ['both', { prompt: 'hello', params }, false],
  ['an unknown field', { prompt: 'hello', type: 'message' }, false],
];

const messageParams: readonly Row[] = [
  ['messages alone', params, true],
  ['a parameter that is new', { ...params, thinking: { type: 'adaptive' } }, true],
  ['no messages', {}, false],
  ['an empty list of messages', { messages: [] }, false],
  ['an unknown role', { messages: [{ role: 'robot', content: '' }] }, false],
  ['max_tokens of zero', { ...params, max_tokens: 0 }, false],
];

const tables = [
  ['a submission', jobSubmissionSchema, submissions],
  ['a bare submission', bareSubmissionSchema, bareSubmissions],
  ['a stream request', streamRequestSchema, streamRequests],
  ['message parameters', messageParamsSchema, messageParams],
] as const;

describe.each(tables)('%s', (_name, schema, rows) => {
  it.each(rows.filter(([, , good]) => good))('may be %s', (_what, value) => {
    expect(schema.safeParse(value).success).toBe(true);
  });

  it.each(rows.filter(([, , good]) => !good))('may not be %s', (_what, value) => {
    expect(schema.safeParse(value).success).toBe(false);
  });
});

describe('a status', () => {
  it.each(jobStatuses)('%s is terminal when the list says so', (status) => {
    expect(isTerminal(status)).toBe(terminalStatuses.some((terminal) => terminal === status));
  });
});

it('a submission is a message job when it does not say', () => {
  expect(jobSubmissionSchema.parse({ prompt: 'hello' }).type).toBe('message');
});
