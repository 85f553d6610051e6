import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import Anthropic from '@anthropic-ai/sdk';
import type { MessageParam } from '@anthropic-ai/sdk/resources/messages';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');
const stopping = new AbortController();
let url = '';
let client: Anthropic;

beforeAll(async () => {
  const args = [
    '--conditions=millrace:source',
    '--no-warnings',
    `--import=${join(root, 'tools/source-hooks.mjs')}`,
    join(root, 'tools/claude-stand-in.mjs'),
  ];
  const child = spawn(process.execPath, args, {
    env: { PORT: '0', STAND_IN_FIRST_MS: '0', STAND_IN_EVENTS_PER_S: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
    signal: stopping.signal,
  });
  child.on('error', () => undefined);
  const [line]: unknown[] = await once(child.stdout, 'data');
  url = /http:\S+/.exec(String(line))?.[0] ?? '';
  client = new Anthropic({ apiKey: 'any', baseURL: url, maxRetries: 0, logLevel: 'off' });
}, 30_000);

afterAll(() => stopping.abort());

async function ask(messages: MessageParam[], streamed: boolean) {
  const params = { model: 'claude-sonnet-5-5', max_tokens: 100, messages };
  if (streamed) return client.messages.stream(params).finalMessage();
  return client.messages.create(params);
}

function user(content: MessageParam['content']): MessageParam {
  return { role: 'user', content };
}

describe.each([false, true])('the stand-in, streamed: %p', (streamed) => {
  it('answers, says so, and counts tokens', async () => {
    const message = await ask([user('What is a weir?')], streamed);
    expect(message).toMatchObject({ stop_reason: 'end_turn', model: 'claude-sonnet-5-5' });
    expect(JSON.stringify(message.content)).toContain('no model was asked');
    expect(message.usage.input_tokens).toBeGreaterThan(5);
    expect(message.usage.output_tokens).toBeGreaterThan(20);
    const response = await fetch(`${url}/v1/messages`, { method: 'POST', body: '{}' });
    expect(response.headers.get('x-millrace-stand-in')).toBe('true');
  });

  it('asks for tools, goes on with their results, and ends with what they said', async () => {
    const prompt = user('[[tool:look {"at": "a"} && look {"at": "b"}]] [[stop:pause_turn]]');
    const asked = await ask([prompt], streamed);
    expect(asked).toMatchObject({
      stop_reason: 'tool_use',
      content: [
        { type: 'text' },
        { type: 'tool_use', name: 'look', input: { at: 'a' } },
        { type: 'tool_use', name: 'look', input: { at: 'b' } },
      ],
    });
    const results = asked.content.flatMap((block) =>
      block.type === 'tool_use'
        ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: 'a weir' }]
        : [],
    );
    const history = [prompt, { role: asked.role, content: asked.content }];
    const paused = await ask([...history, user(results)], streamed);
    expect(paused.stop_reason).toBe('pause_turn');
    const failed = results.map((result) => ({ ...result, is_error: true }));
    const again = user('[[tool:look {"at": "a"} && look {"at": "b"}]]');
    const ended = await ask([again, ...history.slice(1), user(failed)], streamed);
    expect(ended.stop_reason).toBe('end_turn');
    expect(JSON.stringify(ended.content)).toContain('“a weir” (an error), “a weir” (an error)');
  });

  it('refuses a conversation in which a tool_use has no result', async () => {
    const prompt = user('[[tool:look]]');
    const asked = await ask([prompt], streamed);
    const history = [prompt, { role: asked.role, content: asked.content }, user('never mind')];
    await expect(ask(history, streamed)).rejects.toMatchObject({
      status: 400,
      type: 'invalid_request_error',
    });
  });

  it('refuses to answer, and is cut off, when it is asked to', async () => {
    expect(await ask([user('[[stop:refusal]]')], streamed)).toMatchObject({
      stop_reason: 'refusal',
      stop_details: { category: 'other' },
    });
    // What is cut off is no JSON in a stream, at which the SDK's own reader ends.
    const body = {
      model: 'claude-sonnet-5-5',
      max_tokens: 9,
      stream: streamed,
      messages: [user(`[[stop:max_tokens_tool look]] ${streamed}`)],
    };
    const sent = { method: 'POST', body: JSON.stringify(body) };
    const text = await (await fetch(`${url}/v1/messages`, sent)).text();
    expect(text).toContain('"stop_reason":"max_tokens"');
    expect(text).toContain('"name":"look"');
  });

  it('plays faults as often as it is asked to', async () => {
    const faulty = user(`[[fault:429 retry_after=7 times=1]] [[tool:look]] ${streamed}`);
    await expect(ask([faulty], streamed)).rejects.toMatchObject({ status: 429 });
    expect((await ask([faulty], streamed)).stop_reason).toBe('tool_use');
  });
});

it.each([false, true])('pays for the start of a prompt once, streamed: %p', async (streamed) => {
  const text = `${streamed} ${'A weir is a low dam. '.repeat(300)}`;
  const params = {
    model: 'claude-sonnet-5-5',
    max_tokens: 100,
    system: [{ type: 'text' as const, text, cache_control: { type: 'ephemeral' as const } }],
    messages: [user('What is a weir?')],
  };
  const asked = async () =>
    streamed
      ? client.messages.stream(params).finalMessage()
      : client.messages.create(params);
  const first = (await asked()).usage;
  const second = (await asked()).usage;
  expect(first.cache_creation_input_tokens).toBeGreaterThan(1_024);
  expect(first.cache_read_input_tokens).toBe(0);
  expect(second.cache_creation_input_tokens).toBe(0);
  expect(second.cache_read_input_tokens).toBe(first.cache_creation_input_tokens);
  expect(second.input_tokens).toBe(first.input_tokens);
});

it('remembers what it was asked, and until when that was in flight', async () => {
  const mark = 'a mark that nobody else makes [[fault:slow ms=300]]';
  const asking = ask([user(mark)], false);
  let inFlight: unknown[] = [];
  while (inFlight.length === 0) {
    inFlight = (await requestsWith(mark)).filter(({ ended_at }) => ended_at === null);
  }
  await asking;
  expect(await requestsWith(mark)).toContainEqual({
    at: expect.any(String),
    ended_at: expect.any(String),
    status: 200,
    usage: expect.objectContaining({ output_tokens: expect.any(Number) }),
    body: expect.objectContaining({ messages: [user(mark)] }),
  });
});

async function requestsWith(mark: string): Promise<{ ended_at: string | null }[]> {
  const journal = await fetch(`${url}/stand-in/requests`);
  const requests: { ended_at: string | null }[] = JSON.parse(await journal.text());
  return requests.filter((request) => JSON.stringify(request).includes(mark));
}
