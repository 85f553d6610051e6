/**
 * A labelled stand-in for the Messages API, for benches only: answers after a fixed model time,
 * as one JSON body or as a stream, and counts what it was asked. It does no work of its own, so
 * that its CPU stays small beside what is measured.
 *
 * node bench/model-server.mjs PORT MODEL_MS
 */
import { createServer } from 'node:http';

const [port = '0', modelMs = '0'] = process.argv.slice(2);
const state = { modelMs: Number(modelMs), calls: 0, inFlight: 0, inFlightMax: 0 };

const usage = { input_tokens: 12, output_tokens: 9 };
const text = 'The stand-in of the bench answers with one short sentence.';

function message(id, model) {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [{ type: 'text', text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage,
  };
}

function streamed(id, model) {
  const events = [
    { type: 'message_start', message: { ...message(id, model), content: [], stop_reason: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage },
    { type: 'message_stop' },
  ];
  return events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join('');
}

function answer(body, response) {
  const request = JSON.parse(body);
  const id = `msg_bench_${state.calls}`;
  response.setHeader('x-millrace-stand-in', 'true');
  response.setHeader('request-id', `req_${state.calls}`);
  if (request.stream) {
    response.setHeader('content-type', 'text/event-stream');
    response.end(streamed(id, request.model));
  } else {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(message(id, request.model)));
  }
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
