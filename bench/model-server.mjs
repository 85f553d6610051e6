/**
 * A labelled stand-in for the Messages API, for benches only: answers after a fixed model time,
 * as one JSON body or as a stream, and counts what it was asked. It does no work of its own, so
 * that its CPU stays small beside what is measured.
 *
 * A request that has tools is an agent's: it is answered with one call of the first tool, until the
 * model has spoken so many times as `[[turns:6]]` in the first prompt says (6 without it); the last
 * of them is text.
 *
 * A streamed answer comes at once; to a prompt with `[[pieces:75,40]]` it comes in 75 pieces, one
 * every 40 ms.
 *
 * node bench/model-server.mjs PORT MODEL_MS
 */
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const [port = '0', modelMs = '0'] = process.argv.slice(2);
const state = { modelMs: Number(modelMs), calls: 0, inFlight: 0, inFlightMax: 0 };

const usage = { input_tokens: 12, output_tokens: 9 };
const text = 'The stand-in of the bench answers with one short sentence.';
const final = { stop_reason: 'end_turn', block: { type: 'text', text } };
const agentTurns = 6;

/** What is said next: a call of a tool, or text. */
function answerTo({ messages, tools }, id) {
  const [tool] = tools ?? [];
  if (tool === undefined) return final;
  const said = messages.filter(({ role }) => role === 'assistant').length;
  const opening = JSON.stringify(messages[0]?.content ?? '');
  const turns = Number(/\[\[turns:(\d+)\]\]/.exec(opening)?.[1] ?? agentTurns);
  if (said + 1 >= turns) return final;
  const block = { type: 'tool_use', id: `toolu_${id}`, name: tool.name, input: { turn: said + 1 } };
  return { stop_reason: 'tool_use', block };
}

function message(id, model, { block, stop_reason }) {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [block],
    stop_reason,
    stop_sequence: null,
    usage,
  };
}

/** Words whose letters take one to four bytes, and signs that JSON escapes. */
const words = ['mill', 'Mühle', '水車', '🌾', '"quoted"', 'back\\slash', 'line\n', 'tab\t'];
const wordsOfPiece = 6;

function pieceOfText() {
  const word = () => words[Math.floor(Math.random() * words.length)];
  return `${Array.from({ length: wordsOfPiece }, word).join(' ')} `;
}

/** What is asked for by `[[pieces:COUNT,EVERY_MS]]`; null without it. */
function piecesOf({ messages }) {
  const opening = JSON.stringify(messages[0]?.content ?? '');
  const [, count, everyMs] = /\[\[pieces:(\d+),(\d+)\]\]/.exec(opening) ?? [];
  if (count === undefined) return null;
  return { texts: Array.from({ length: Number(count) }, pieceOfText), everyMs: Number(everyMs) };
}

/** @returns {string[]} what is written: the beginning, each delta, the end */
function streamed(id, model, answer, texts) {
  const { block, stop_reason } = answer;
  const isText = block.type === 'text';
  const opened = isText ? { ...block, text: '' } : { ...block, input: {} };
  const deltas = isText
    ? texts.map((text) => ({ type: 'text_delta', text }))
    : [{ type: 'input_json_delta', partial_json: JSON.stringify(block.input) }];
  const begun = { ...message(id, model, answer), content: [], stop_reason: null };
  const start = [
    { type: 'message_start', message: begun },
    { type: 'content_block_start', index: 0, content_block: opened },
  ];
  const end = [
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ];
  const written = deltas.map((delta) => [{ type: 'content_block_delta', index: 0, delta }]);
  return [start, ...written, end].map((events) =>
    events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(''),
  );
}

function answer(body, response) {
  const request = JSON.parse(body);
  const id = `msg_bench_${state.calls}`;
  const said = answerTo(request, id);
  response.setHeader('x-millrace-stand-in', 'true');
  response.setHeader('request-id', `req_${state.calls}`);
  if (request.stream) {
    const pieces = piecesOf(request);
    const parts = streamed(id, request.model, said, pieces?.texts ?? [text]);
    response.setHeader('content-type', 'text/event-stream');
    if (pieces !== null) return void drip(response, parts, pieces.everyMs);
    response.end(parts.join(''));
  } else {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(message(id, request.model, said)));
  }
  state.inFlight -= 1;
}

async function drip(response, parts, everyMs) {
  for (const part of parts) {
    response.write(part);
    await delay(everyMs);
  }
  response.end();
  state.inFlight -= 1;
}

function control(request, response) {
  if (request.url.startsWith('/bench/model-ms/')) {
    state.modelMs = Number(request.url.split('/').at(-1));
    state.inFlightMax = 0;
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(state));
}

const server = createServer((request, response) => {
  if (request.url.startsWith('/bench/')) return control(request, response);
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    state.calls += 1;
    state.inFlight += 1;
    state.inFlightMax = Math.max(state.inFlightMax, state.inFlight);
    if (state.modelMs === 0) answer(body, response);
    else setTimeout(answer, state.modelMs, body, response);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1', () => {
  process.send?.({ port: server.address().port });
});
process.on('disconnect', () => process.exit(0));
