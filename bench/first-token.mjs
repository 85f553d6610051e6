/** What the way through the pipeline adds to the first token of an answer. */
import { Agent, request } from 'undici';

const modelMs = 100;

/**
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {number} count
 * @returns {Promise<number[]>} milliseconds more than a direct call took just before
 */
export async function addedToFirstToken(bench, count) {
  await bench.setModelMs(modelMs);
  const dispatcher = new Agent({ connections: 8 });
  const added = [];
  for (let n = 0; n < count; n += 1) {
    const direct = await untilFirst('content_block_delta', directCall(bench), dispatcher);
    const streamed = await untilFirst('"token"', streamCall(bench), dispatcher);
    added.push(streamed - direct);
  }
  await dispatcher.close();
  return added;
}

const streamParams = {
  model: 'claude-sonnet-5-5',
  max_tokens: 64,
  stream: true,
  messages: [{ role: 'user', content: 'Answer in one sentence.' }],
};

function directCall({ model }) {
  return {
    url: `http://127.0.0.1:${model.port}/v1/messages`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(streamParams),
  };
}

function streamCall({ stack }) {
  return {
    url: `${stack.urls.api}/v1/stream`,
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Answer in one sentence.' }),
  };
}

/** Milliseconds from the request to the first piece of the answer that holds this text. */
async function untilFirst(text, { url, headers, body }, dispatcher) {
  const startedAt = performance.now();
  const response = await request(url, { dispatcher, method: 'POST', headers, body });
  let read = '';
  let ms;
  for await (const chunk of response.body) {
    if (ms === undefined && (read += chunk).includes(text)) ms = performance.now() - startedAt;
  }
  if (ms === undefined) throw new Error(`${url} answered ${response.statusCode} without ${text}`);
  return ms;
}
