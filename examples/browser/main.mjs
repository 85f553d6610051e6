/**
 * A page that shows an answer while it is written, beside a local stack (`npm start`):
 *
 *   node examples/browser/main.mjs
 *
 * Browsers get no key. This server has it, hands over what the page asks, and passes the job's
 * events on as they are, so that their ids lead back to the place where a connection broke.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** @typedef {import('node:http').IncomingMessage} Incoming */
/** @typedef {import('node:http').ServerResponse} Response */

/** Of a question: a page's text field holds less. */
const bodyBytesMax = 64 * 1_024;
/** Tokens that one answer may have. */
const answerTokensMax = 8_192;

const port = Number(process.env.PORT ?? 8095);
const api = process.env.MILLRACE_URL ?? 'http://127.0.0.1:8080';
const keyFile = join(import.meta.dirname, '../../.millrace/api-key');
const key = process.env.MILLRACE_API_KEY ?? readFileSync(keyFile, 'utf8').trim();

const files = new Map([
  ['/', { name: 'index.html', type: 'text/html; charset=utf-8' }],
  ['/page.css', { name: 'page.css', type: 'text/css; charset=utf-8' }],
  ['/page.mjs', { name: 'page.mjs', type: 'text/javascript; charset=utf-8' }],
  ['/job-stream.mjs', { name: 'job-stream.mjs', type: 'text/javascript; charset=utf-8' }],
]);
/** Of the API's answers: what a browser needs of them. */
const headersPassedOn = ['content-type', 'cache-control', 'retry-after'];

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    // Before the answer began the page can be told; after it a broken connection tells it.
    if (response.headersSent) return response.destroy();
    console.error(error);
    refuse(response, 502, 'The API does not answer.');
  });
});
server.listen(port, '127.0.0.1', () => {
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  console.log(`the page is on http://127.0.0.1:${bound}/`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit());

/** @param {Incoming} request @param {Response} response */
async function answer(request, response) {
  const url = new URL(request.url ?? '/', 'http://page');
  const [, jobId, events] = /^\/jobs\/([\w.~-]{1,200})(\/events)?$/.exec(url.pathname) ?? [];
  // A name that somebody points at this machine is not ours: their page would ask in our name.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
    return refuse(response, 421, 'This page is served to this machine alone.');
  }
  if (request.method === 'POST' && url.pathname === '/jobs') return submit(request, response);
  if (request.method !== 'GET') return refuse(response, 405, 'There is no such method here.');
  if (events !== undefined) return follow(request, response, `/v1/jobs/${jobId}/events`);
  if (jobId !== undefined) return passOn(response, await ask(`/v1/jobs/${jobId}`));
  const file = files.get(url.pathname);
  if (file === undefined) return refuse(response, 404, 'There is no such page.');
  response.writeHead(200, {
    'content-type': file.type,
    'content-security-policy': "default-src 'self'; img-src data:; frame-ancestors 'none'",
  });
  response.end(readFileSync(join(import.meta.dirname, 'page', file.name)));
}

/**
 * The page says what is asked; how it is run is decided here.
 *
 * @param {Incoming} request
 * @param {Response} response
 */
async function submit(request, response) {
  // A form of another site can send no JSON: a browser asks first, and gets no leave.
  if (!request.headers['content-type']?.startsWith('application/json')) {
    return refuse(response, 415, 'A question comes as JSON.');
  }
  const prompt = promptOf(await bodyOf(request));
  if (prompt === undefined) return refuse(response, 400, 'There is no question, or a long one.');
  const job = {
    lane: 'interactive',
    params: {
      stream: true,
      max_tokens: answerTokensMax,
      messages: [{ role: 'user', content: prompt }],
    },
  };
  const idempotencyKey = request.headers['idempotency-key'];
  const answered = await ask('/v1/jobs', {
    method: 'POST',
    body: JSON.stringify(job),
    headers: {
      'content-type': 'application/json',
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': String(idempotencyKey) }),
    },
  });
  await passOn(response, answered);
}

/** @param {Incoming} request @param {Response} response @param {string} path */
async function follow(request, response, path) {
  const left = new AbortController();
  response.once('close', () => left.abort());
  const { searchParams } = new URL(request.url ?? '/', 'http://page');
  // A browser that comes back by itself says where it was in the header; a page can in the query.
  const lastId = request.headers['last-event-id'] ?? searchParams.get('starting_after');
  const headers = lastId === null ? {} : { 'last-event-id': String(lastId) };
  const events = { accept: 'text/event-stream', ...headers };
  try {
    await passOn(response, await ask(path, { headers: events, signal: left.signal }));
  } catch (error) {
    if (!left.signal.aborted) throw error;
  }
}

/** @param {string} path @param {RequestInit} [init] */
function ask(path, init = {}) {
  return fetch(new URL(path, api), {
    ...init,
    headers: { ...init.headers, authorization: `Bearer ${key}` },
  });
}

/** @param {Response} response @param {globalThis.Response} answered */
async function passOn(response, answered) {
  const named = headersPassedOn.map((name) => [name, answered.headers.get(name)]);
  const headers = Object.fromEntries(named.filter(([, value]) => value !== null));
  response.writeHead(answered.status, headers);
  response.flushHeaders();
  if (answered.body === null) return response.end();
  await pipeline(Readable.fromWeb(answered.body), response);
}

/** @param {Incoming} request @returns {Promise<string | undefined>} undefined: it is too long */
async function bodyOf(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** @param {string | undefined} body @returns {string | undefined} */
function promptOf(body) {
  try {
    const prompt = JSON.parse(body ?? '')?.prompt;
    return typeof prompt === 'string' && prompt.trim() !== '' ? prompt : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Response} response @param {number} status @param {string} detail */
function refuse(response, status, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json', connection: 'close' });
  response.end(JSON.stringify({ status, detail }));
}
