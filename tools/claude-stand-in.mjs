/**
 * A stand-in for Claude's API (`POST /v1/messages`, streamed or not), on @copilotkit/aimock. It
 * answers where no API key is set. Every answer carries `x-millrace-stand-in: true`, so that nobody
 * takes it for a model's.
 *
 *   HOST, PORT              where it listens: 127.0.0.1, 8090
 *   STAND_IN_FIRST_MS       until the first token, or the whole answer when not streamed (300)
 *   STAND_IN_EVENTS_PER_S   how fast a stream goes on (60); 0: as fast as it can
 *   POST /stand-in/faults   {kind, retry_after?, after?, times?}, see stand-in/faults.mjs;
 *                           GET shows what is queued, DELETE forgets it
 *   GET  /__aimock/journal  the last 1,000 requests
 */
import { createServer } from '@copilotkit/aimock';
import { httpHeaders } from '@millrace/contracts';

import { answerTo } from './stand-in/answer.mjs';
import { cutAfterEventsMax, faultOf, Faults } from './stand-in/faults.mjs';

/**
 * @typedef {import('@copilotkit/aimock').ChatCompletionRequest} Request
 * @typedef {import('@copilotkit/aimock').Fixture} Fixture
 * @typedef {import('./stand-in/faults.mjs').Fault} Fault
 * @typedef {{ prompt: string, turn: number, fault: Fault | undefined }} Reading
 */

/** Characters of a streamed event: a few words, as a model's are. */
const eventCharacters = 14;
/** A token is about this many characters of English. */
const charactersPerToken = 4;

const host = process.env['HOST'] ?? '127.0.0.1';
const port = Number(process.env['PORT'] ?? 8090);
const firstMs = Number(process.env['STAND_IN_FIRST_MS'] ?? 300);
const eventsPerS = Number(process.env['STAND_IN_EVENTS_PER_S'] ?? 60);

const faults = new Faults();
/** A request is looked at by many fixtures, and counts once. @type {WeakMap<Request, Reading>} */
const readings = new WeakMap();

/** @param {Request} request @returns {Reading} */
function read(request) {
  const known = readings.get(request);
  if (known !== undefined) return known;
  const asked = request.messages.filter(({ role }) => role === 'user');
  const prompt = textOf(asked.at(-1)?.content ?? '');
  const reading = { prompt, turn: asked.length, fault: faults.take(prompt) };
  readings.set(request, reading);
  return reading;
}

/** @param {string | import('@copilotkit/aimock').ContentPart[]} content */
const textOf = (content) =>
  typeof content === 'string' ? content : content.map(({ text }) => text ?? '').join('\n');

/** @param {Request} request */
function respond(request) {
  const { prompt, turn, fault } = read(request);
  switch (fault?.kind) {
    case '429':
      return error(429, 'rate_limit_error', fault.retryAfterS);
    case '500':
      return error(500, 'api_error');
    case '529':
      return error(529, 'overloaded_error');
    default: {
      const content = answerTo({ prompt, turn });
      const input = request.messages.map((message) => textOf(message.content ?? '')).join('\n');
      const usage = { input_tokens: tokensOf(input), output_tokens: tokensOf(content) };
      return { content, model: request.model, usage };
    }
  }
}

/** @param {number} status @param {string} type @param {number} [retryAfter] */
const error = (status, type, retryAfter) => ({
  status,
  error: { type, message: `${type}, as the stand-in was asked to say` },
  ...(retryAfter === undefined ? {} : { retryAfter }),
});

/** @param {string} text */
const tokensOf = (text) => Math.max(1, Math.ceil(text.length / charactersPerToken));

/** @type {Omit<Fixture, 'match'>} */
const answer = {
  response: respond,
  latency: firstMs,
  chunkSize: eventCharacters,
  streamingProfile: { ttft: firstMs, ...(eventsPerS > 0 ? { tps: eventsPerS, jitter: 0.3 } : {}) },
};

/** @type {Fixture[]} */
const fixtures = [
  { ...answer, match: { predicate: (request) => read(request).fault?.kind !== 'cut' } },
  ...Array.from({ length: cutAfterEventsMax + 1 }, (_, events) => ({
    ...answer,
    truncateAfterChunks: events,
    match: {
      predicate: (/** @type {Request} */ request) => read(request).fault?.afterEvents === events,
    },
  })),
];

/** @type {import('@copilotkit/aimock').Mountable} */
const control = {
  handleRequest: async (request, response) => {
    if (request.method === 'POST') {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const fault = faultOf(JSON.parse(Buffer.concat(chunks).toString('utf8')));
      if (fault !== undefined) faults.queue(fault);
      response.statusCode = fault === undefined ? 400 : 200;
    }
    if (request.method === 'DELETE') faults.clear();
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ queued: faults.queued }));
    return true;
  },
};

const { server } = await createServer(fixtures, { host, port }, [
  { path: '/stand-in/faults', handler: control },
]);
server.prependListener('request', (_request, response) => {
  response.setHeader(httpHeaders.standIn, 'true');
});
console.log(`The Claude stand-in answers on http://${host}:${port}`);

process.on('SIGTERM', () => process.exit(0));
