/**
 * The agent that every peer runs: the model is asked, it asks for the tool, and again, until it
 * asks for none. Each turn and each call of the tool is one durable step, by HTTP to the same
 * servers as ours are.
 */
import { Agent, request } from 'node:http';

import { settings } from './served-peer.mjs';

const { modelPort, opening, toolPort } = settings;
/** Kept connections, and no client above Node's own: the cheapest call that there is. */
const connections = new Agent({ keepAlive: true, maxSockets: 256 });
const tools = [{ name: 'look', description: 'looks', input_schema: { type: 'object' } }];

/**
 * @param {<Result>(name: string, work: () => Promise<Result>) => Promise<Result>} durably runs one
 *   step of the engine: what it came to is kept
 */
export async function runAgent(durably) {
  const messages = [{ role: 'user', content: opening }];
  for (let turn = 1; ; turn += 1) {
    const asked = await durably(`model-${turn}`, () => askModel(messages));
    const { content, stop_reason: why } = asked;
    if (why !== 'tool_use') return;
    const results = await resultsOf(content, (use, n) =>
      durably(`tool-${turn}-${n}`, () => callTool(use)),
    );
    messages.push({ role: 'assistant', content }, { role: 'user', content: results });
  }
}

/** Tools that are asked for at once run at once; both engines want them begun in one order. */
async function resultsOf(uses, call) {
  const calls = uses.map((use, n) => call(use, n));
  const results = [];
  for (const [n, use] of uses.entries()) {
    const content = JSON.stringify(await calls[n]);
    results.push({ type: 'tool_result', tool_use_id: use.id, content });
  }
  return results;
}

function askModel(messages) {
  const body = { model: 'claude-sonnet-5-5', max_tokens: 256, tools, messages };
  return post(modelPort, '/v1/messages', body);
}

function callTool({ id, name, input }) {
  return post(toolPort, '/', { tool: name, arguments: input, call_id: id });
}

function post(port, path, body) {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = { 'content-type': 'application/json', 'content-length': bytes.length };
    const options = { agent: connections, host: '127.0.0.1', port, path, method: 'POST', headers };
    const sent = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('error', reject).on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${path} was answered with ${response.statusCode}`));
      });
    });
    sent.on('error', reject).end(bytes);
  });
}
