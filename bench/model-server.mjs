/**
 * A labelled stand-in for the Messages API, for benches only: answers after a fixed model time,
 * as one JSON body or as a stream, and counts what it was asked. It does no work of its own, so
 * that its CPU stays small beside what is measured.
 *
 * A request that has tools is an agent's: it is answered with a call of the first tool, until the
 * model has spoken so many times as `[[agent:6,6]]` in the first prompt says first (6 without it);
 * the last of them is text. It says second how many calls that are in all: those that are more than
 * one for each turn are asked for by the first, at once.
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
const final = { stop_reason: 'end_turn', blocks: [{ type: 'text', text }] };
const agent = { turns: 6, calls: 6 };

/** What is said next: calls of a tool, or text. */
function answerTo({ messages, tools }, id) {
  const [tool] = tools ?? [];
  if (tool === undefined) return final;
  const said = messages.filter(({ role }) => role === 'assistant').length;
  const opening = JSON.stringify(messages[0]?.content ?? '');
  const [, ...sizes] = /\[\[agent:(\d+),(\d+)\]\]/.exec(opening) ?? [];
  const [turns = agent.turns, calls = agent.calls] = sizes.map(Number);
  if (said + 1 >= turns) return final;
  const count = said === 0 ? calls - (turns - 2) : 1;
  const blocks = Array.from({ length: count }, (_, n) => ({
    type: 'tool_use',
    id: `toolu_${id}_${n}`,
    name: tool.name,
    input: { turn: said + 1 },
  }));
  return { stop_reason: 'tool_use', blocks };
}

function message(id, model, { blocks, stop_reason }) {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: blocks,
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

/** @returns {string[]} what is written at once: what precedes the deltas, each one, what follows */
function streamed(id, model, answer, texts) {
  const { blocks, stop_reason } = answer;
  const begun = { ...message(id, model, answer), content: [], stop_reason: null };
  const events = [
    { type: 'message_start', message: begun },
    ...blocks.flatMap((block, index) => streamedBlock(block, index, texts)),
    { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ];
  const parts = [''];
  let isAfterDelta = false;
  for (const event of events) {
    const isDelta = event.type === deltaType;
    if (isDelta || isAfterDelta) parts.push('');
    parts[parts.length - 1] += `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    isAfterDelta = isDelta;
  }
  return parts;
}

const deltaType = 'content_block_delta';

function streamedBlock(block, index, texts) {
  const isText = block.type === 'text';
  const opened = isText ? { ...block, text: '' } : { ...block, input: {} };
  const deltas = isText
    ? texts.map((piece) => ({ type: 'text_delta', text: piece }))
    : [{ type: 'input_json_delta', partial_json: JSON.stringify(block.input) }];
  return [
    { type: 'content_block_start', index, content_block: opened },
    ...deltas.map((delta) => ({ type: deltaType, index, delta })),
    { type: 'content_block_stop', index },
  ];
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
