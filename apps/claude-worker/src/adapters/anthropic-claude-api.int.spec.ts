import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  type FakeAnswer,
  type FakeClaudeServer,
  sse,
  startFakeClaudeServer,
} from '@millrace/testing';

import type { ClaudeAnswer } from '../core/claude-answer.ts';
import { AnthropicClaudeApi } from './anthropic-claude-api.ts';

jest.setTimeout(60_000);

const mib = 1024 * 1024;
const floodBytes = 200 * mib;
/** Of this process, in which both sides of the stream run: a square would take a minute. */
const cpuMsMax = 15_000;
/** An answer may have 64 MiB, and what was read of it becomes garbage no sooner than V8 likes. */
const grownBytesMax = 400 * mib;

let claude: FakeClaudeServer;
let api: AnthropicClaudeApi;

beforeAll(async () => {
  claude = await startFakeClaudeServer();
  api = new AnthropicClaudeApi({ apiKey: 'k', baseUrl: claude.url, connectionsMax: 4 });
});
afterAll(async () => {
  await api.close();
  await claude.close();
});

function send(prompt: string): Promise<ClaudeAnswer> {
  const messages = [{ role: 'user', content: prompt }];
  return api.send({
    params: { model: 'm', max_tokens: 10, messages },
    streamed: true,
    totalMs: 60_000,
    signal: new AbortController().signal,
    onEvent: () => undefined,
  });
}

const start = { id: 'msg', type: 'message', role: 'assistant', model: 'm', content: [], usage: {} };
const begin = [
  { type: 'message_start', message: { ...start, stop_reason: null } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
]
  .map(sse)
  .join('');
const text = 'x'.repeat(16_000);
const delta = sse({
  type: 'content_block_delta',
  index: 0,
  delta: { type: 'text_delta', text },
});

describe('a stream of 200 MB', () => {
  it.each<[string, string, string]>([
    ['of many events', begin, delta],
    ['that is one line', `${begin}event: content_block_delta\ndata: {"text":"`, text],
    ['that is one event of many lines', `${begin}event: content_block_delta\n`, `data: ${text}\n`],
    ['of nothing but comments', begin, `: ${text}\n`],
  ])('%s is cut off in bounded memory and time, and others go on', async (_, first, piece) => {
    const flood: FakeAnswer = { kind: 'flood', begin: first, piece, bytes: floodBytes };
    claude.answerWith(({ prompt }) => (prompt === 'flood' ? flood : { kind: 'message' }));
    const rssBefore = process.memoryUsage().rss;
    const cpuBefore = process.cpuUsage();
    const flooded = send('flood');
    expect(await send('beside it')).toMatchObject({ kind: 'message' });
    expect(await flooded).toMatchObject({ kind: 'cut', reason: 'answer_malformed' });
    const { system, user } = process.cpuUsage(cpuBefore);
    expect((system + user) / 1_000).toBeLessThan(cpuMsMax);
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(grownBytesMax);
    expect(await send('after it')).toMatchObject({ kind: 'message' });
  });
});
