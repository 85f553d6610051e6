/**
 * A stand-in for Claude's API (`POST /v1/messages`, streamed or not). It answers where no API key
 * is set, refuses conversations that the API refuses, and asks for tools where the prompt says so
 * (stand-in/script.mjs). It counts what is marked for the cache as the API does
 * (stand-in/prompt-cache.mjs). Every answer carries `x-millrace-stand-in: true`, so that nobody
 * takes it for a model's.
 *
 *   HOST, PORT              where it listens: 127.0.0.1, 8090
 *   STAND_IN_FIRST_MS       until the first token, or the whole answer when not streamed (300)
 *   STAND_IN_EVENTS_PER_S   how fast a stream goes on (60); 0: as fast as it can
 *   POST /stand-in/faults   {kind, retry_after?, after?, ms?, times?}, see stand-in/faults.mjs;
 *                           GET shows what is queued, DELETE forgets it
 *   GET  /stand-in/requests the bodies of the last 1,000 requests, how they were answered, for what
 *                           `usage`, and from when (`at`) until when (`ended_at`, null by now) they
 *                           were in flight
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { httpHeaders } from '@millrace/contracts';

import { questionOf, readRequest } from './stand-in/conversation.mjs';
import { faultOf, Faults } from './stand-in/faults.mjs';
import { eventsOf, messageFor } from './stand-in/message.mjs';
import { PromptCache } from './stand-in/prompt-cache.mjs';
import { Script } from './stand-in/script.mjs';

/**
 * @typedef {import('node:http').IncomingMessage} Incoming
 * @typedef {import('node:http').ServerResponse} Response
 * @typedef {import('./stand-in/faults.mjs').Fault} Fault
 */

/** Requests that are remembered. */
const requestsKeptMax = 1_000;
/** Of the pause between two events, up or down. */
const jitter = 0.3;

const host = process.env['HOST'] ?? '127.0.0.1';
const port = Number(process.env['PORT'] ?? 8090);
const firstMs = Number(process.env['STAND_IN_FIRST_MS'] ?? 300);
const eventsPerS = Number(process.env['STAND_IN_EVENTS_PER_S'] ?? 60);

const faults = new Faults();
const script = new Script();
const cache = new PromptCache();
/**
 * @typedef {{ status: number, body: unknown, usage: unknown }} Answered
 * @type {(Answered & { at: string, ended_at: string | null })[]}
 */
const requests = [];

/** @param {Incoming} incoming @returns {Promise<unknown>} undefined when it is no JSON */
async function bodyOf(incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** @param {Response} response @param {Answered} answered */
function remember(response, answered) {
  /** @type {typeof requests[number]} */
  const request = { at: new Date().toISOString(), ended_at: null, ...answered };
  requests.push(request);
  if (requests.length > requestsKeptMax) requests.shift();
  const end = () => void (request.ended_at ??= new Date().toISOString());
  // Whoever asked may have gone while the body was read.
  if (response.destroyed) end();
  else response.once('close', end);
}

/** @param {Incoming} incoming @param {Response} response */
async function answer(incoming, response) {
  response.setHeader('request-id', `req_${randomUUID().replaceAll('-', '').slice(0, 24)}`);
  const body = await bodyOf(incoming);
  const { refusal, request } = readRequest(body);
  const fault = request === undefined ? undefined : faults.take(questionOf(request).prompt);
  const refused = refusal === undefined ? errorOf(fault) : invalid(refusal);
  if (refused !== undefined) {
    remember(response, { body, status: refused.status, usage: null });
    return refuse(response, refused);
  }
  if (request === undefined) return;
  const cached = cache.look(request, performance.now());
  const message = messageFor(request, script.next(request), cached);
  remember(response, { body, status: 200, usage: message.usage });
  const begins = () => cache.begun(cached, performance.now());
  if (request.stream === true) return stream(response, eventsOf(message), { fault, begins });
  await delay(fault?.kind === 'slow' ? fault.ms : firstMs);
  begins();
  send(response, 200, message);
}

/** @typedef {{ status: number, type: string, message: string, retryAfterS?: number }} Refusal */

/** @param {string} message @returns {Refusal} */
const invalid = (message) => ({ status: 400, type: 'invalid_request_error', message });

/** @param {Fault | undefined} fault @returns {Refusal | undefined} */
function errorOf(fault) {
  const message = 'as the stand-in was asked to say';
  switch (fault?.kind) {
    case '429':
      return { status: 429, type: 'rate_limit_error', message, retryAfterS: fault.retryAfterS };
    case '500':
      return { status: 500, type: 'api_error', message };
    case '529':
      return { status: 529, type: 'overloaded_error', message };
    default:
      return undefined;
  }
}

/** @param {Response} response @param {Refusal} refusal */
function refuse(response, { message, retryAfterS, status, type }) {
  if (retryAfterS !== undefined) response.setHeader('retry-after', String(retryAfterS));
  const request_id = response.getHeader('request-id');
  send(response, status, { type: 'error', error: { type, message }, request_id });
}

/** @param {Response} response @param {number} status @param {unknown} body */
function send(response, status, body) {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

/**
 * @param {Response} response
 * @param {import('./stand-in/message.mjs').StreamEvent[]} events
 * @param {{ fault: Fault | undefined, begins: () => void }} how `fault` cuts the stream short
 */
async function stream(response, events, { fault, begins }) {
  const written = fault?.kind === 'cut' ? events.slice(0, fault.afterEvents) : events;
  response.setHeader('content-type', 'text/event-stream');
  response.setHeader('cache-control', 'no-cache');
  const beginsMs = fault?.kind === 'slow' ? fault.ms : firstMs;
  for (const [n, event] of written.entries()) {
    const pauseMs = n === 0 ? beginsMs : eventsPerS > 0 ? 1_000 / eventsPerS : 0;
    if (pauseMs > 0) await delay(pauseMs * (1 + (Math.random() * 2 - 1) * jitter));
    if (response.destroyed) return;
    if (n === 0) begins();
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }
  if (written.length === events.length) response.end();
  else response.destroy();
}

/** @param {Incoming} incoming @param {Response} response */
async function control(incoming, response) {
  let status = 200;
  if (incoming.method === 'POST') {
    const fault = faultOf((await bodyOf(incoming)) ?? {});
    if (fault !== undefined) faults.queue(fault);
    else status = 400;
  }
  if (incoming.method === 'DELETE') faults.clear();
  send(response, status, { queued: faults.queued });
}

/** @param {Incoming} incoming @param {Response} response */
async function route(incoming, response) {
  const { pathname } = new URL(incoming.url ?? '/', 'http://stand-in');
  switch (`${incoming.method === 'POST' ? 'POST ' : ''}${pathname}`) {
    case 'POST /v1/messages':
      return answer(incoming, response);
    case 'POST /stand-in/faults':
    case '/stand-in/faults':
      return control(incoming, response);
    case '/stand-in/requests':
      return send(response, 200, requests);
    case '/health':
      return send(response, 200, { status: 'ok' });
    default: {
      const message = `there is no ${pathname} here`;
      return refuse(response, { status: 404, type: 'not_found_error', message });
    }
  }
}

const server = createServer((incoming, response) => {
  response.setHeader(httpHeaders.standIn, 'true');
  // What goes wrong is that the other side went away.
  route(incoming, response).catch(() => response.destroy());
});
// Longer than clients keep idle connections, so that none is closed as a request comes.
server.keepAliveTimeout = 60_000;
server.listen(port, host, () => {
  const address = server.address();
  const bound = typeof address === 'object' ? address?.port : port;
  console.log(`The Claude stand-in answers on http://${host}:${bound}`);
});

process.on('SIGTERM', () => process.exit(0));
