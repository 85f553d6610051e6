/**
 * The story's Messages API (a labelled stand-in), in a process of its own. A prompt that says
 * `agent=ID turns=N` is answered with calls of the tools that it names, one and two in turn, until
 * the model has spoken N times; the last time it is text. Each answer takes its time, so that kills
 * find calls before their first event, in the middle of them, and after.
 *
 * node chaos/model-server.mjs SEED ANSWER_MS_MAX
 */
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { seededRandom } from './seeded-random.ts';
import { SendRecord } from './send-record.mjs';

const [seed = '1', answerMsMax = '1000'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const record = new SendRecord();
let answers = 0;

const usage = { input_tokens: 12, output_tokens: 9 };

/** Whose turn it is, of its prompt and of what it has said so far. */
function turnOf({ messages }) {
  const [, job, turns] = /agent=(\S+) turns=(\d+)/.exec(JSON.stringify(messages[0])) ?? [];
  const said = messages.filter(({ role }) => role === 'assistant').length;
  return { callId: `${job}/m${said + 1}`, turn: said + 1, isLast: said + 1 >= Number(turns) };
}

function contentOf({ isLast, turn }, tools) {
  if (isLast) return [{ type: 'text', text: 'The stand-in of the story has seen enough.' }];
  return Array.from({ length: 1 + (turn % 2) }, (_, i) => ({
    type: 'tool_use',
    id: `toolu_${answers}_${i}`,
    name: tools[(turn + i) % tools.length].name,
    input: { turn, i },
  }));
}

function eventsOf(message) {
  const begun = { ...message, content: [], stop_reason: null };
  const blocks = message.content.flatMap((block, index) => {
    const isText = block.type === 'text';
    const opened = isText ? { ...block, text: '' } : { ...block, input: {} };
    const delta = isText
      ? { type: 'text_delta', text: block.text }
      : { type: 'input_json_delta', partial_json: JSON.stringify(block.input) };
    return [
      { type: 'content_block_start', index, content_block: opened },
      { type: 'content_block_delta', index, delta },
      { type: 'content_block_stop', index },
    ];
  });
  const { stop_reason, stop_sequence } = message;
  return [
    { type: 'message_start', message: begun },
    ...blocks,
    { type: 'message_delta', delta: { stop_reason, stop_sequence }, usage },
    { type: 'message_stop' },
  ];
}

async function answer(request, response, body) {
  const turn = turnOf(body);
  record.add({ request, response, facts: { callId: turn.callId } });
  answers += 1;
  const message = {
    id: `msg_chaos_${answers}`,
    type: 'message',
    role: 'assistant',
    model: body.model,
    content: contentOf(turn, body.tools ?? []),
    stop_reason: turn.isLast ? 'end_turn' : 'tool_use',
    stop_sequence: null,
    usage,
  };
  const pauseMs = (random() * Number(answerMsMax)) / 2;
  response.setHeader('x-millrace-stand-in', 'true');
  response.setHeader('request-id', `req_chaos_${answers}`);
  await delay(pauseMs);
  if (!body.stream) {
    await delay(pauseMs);
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify(message));
  }
  response.setHeader('content-type', 'text/event-stream');
  const events = eventsOf(message).map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`);
  const half = Math.ceil(events.length / 2);
  response.write(events.slice(0, half).join(''));
  await delay(pauseMs);
  return response.end(events.slice(half).join(''));
}

const server = createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (text += chunk));
  request.on('end', () => void answer(request, response, JSON.parse(text)));
});
record.watch(server);
server.keepAliveTimeout = 60_000;
process.on('message', () => process.send({ sends: record.sends }));
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
