import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** How the fake answers one request. */
export type FakeAnswer =
  | {
      readonly kind: 'message';
      readonly text?: string;
      readonly fields?: Fields;
      readonly afterMs?: number;
      /** It leaves when this is resolved. */
      readonly after?: Promise<void>;
    }
  | {
      readonly kind: 'error';
      readonly status: number;
      readonly type?: string;
      readonly errorCode?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** A stream that goes on for ever at this pace, or stops after so many events. */
  | { readonly kind: 'drip'; readonly everyMs: number; readonly eventsMax?: number }
  /** A stream of `begin`, and then of these bytes in chunks, one every so many ms. Then it ends. */
  | {
      readonly kind: 'raw';
      readonly begin?: string;
      readonly body: string;
      readonly chunkBytes?: number;
      readonly everyMs?: number;
    }
  /** A stream of `begin`, and then of `piece` again and again, as fast as it is read. */
  | {
      readonly kind: 'flood';
      readonly begin: string;
      readonly piece: string;
      readonly bytes: number;
    }
  /** A stream that ends, or breaks, after so many events. */
  | { readonly kind: 'cut'; readonly events: number; readonly reset?: boolean }
  /** Only `ping` events. */
  | { readonly kind: 'pings'; readonly everyMs: number }
  /** Headers and silence, or not even headers. */
  | { readonly kind: 'silence'; readonly headers: boolean }
  /** The connection is reset before a byte of the answer. */
  | { readonly kind: 'reset' };

type Fields = Readonly<Record<string, unknown>>;

/** A request as the fake got it. */
export interface FakeRequest {
  readonly body: Fields;
  /** Text of the last message, by which specs tell requests apart. */
  readonly prompt: string;
  readonly streamed: boolean;
  readonly headers: IncomingMessage['headers'];
  readonly atMs: number;
}

export interface FakeClaudeServer {
  readonly url: string;
  /** Every request, in order. */
  readonly requests: readonly FakeRequest[];
  /** Requests that a real API would have charged for: an answer was begun. */
  readonly paid: number;
  readonly inFlight: number;
  readonly inFlightMax: number;
  /** Decides each answer from now on; called once a request. */
  answerWith(answer: (request: FakeRequest, nth: number) => FakeAnswer): void;
  close(): Promise<void>;
}

/**
 * A fake of the Messages API for specs: it answers what a spec tells it to, and counts. No model
 * is behind it.
 */
export async function startFakeClaudeServer(): Promise<FakeClaudeServer> {
  const requests: FakeRequest[] = [];
  const state = { paid: 0, inFlight: 0, inFlightMax: 0 };
  const closing = new AbortController();
  let choose: (request: FakeRequest, nth: number) => FakeAnswer = () => ({ kind: 'message' });

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await readRequest(incoming);
    requests.push(request);
    const answer = choose(request, requests.length);
    if (answer.kind !== 'error') state.paid += 1;
    state.inFlight += 1;
    state.inFlightMax = Math.max(state.inFlightMax, state.inFlight);
    response.once('close', () => (state.inFlight -= 1));
    response.setHeader('request-id', `req_fake_${requests.length}`);
    response.setHeader('x-millrace-stand-in', 'true');
    await write(answer, { request, response, nth: requests.length, signal: closing.signal });
  };
  const server = createServer((incoming, response) => {
    // A connection that the other side closed in the middle is what many specs are about.
    handle(incoming, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    get paid() {
      return state.paid;
    },
    get inFlight() {
      return state.inFlight;
    },
    get inFlightMax() {
      return state.inFlightMax;
    },
    answerWith: (answer) => {
      choose = answer;
    },
    close: () =>
      new Promise((resolve) => {
        closing.abort();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readRequest(incoming: IncomingMessage): Promise<FakeRequest> {
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(incoming, 'end');
  const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString());
  const body = isFields(parsed) ? parsed : {};
  const messages: unknown = body['messages'];
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  const content = isFields(last) ? last['content'] : '';
  return {
    body,
    prompt: typeof content === 'string' ? content : JSON.stringify(content),
    streamed: body['stream'] === true,
    headers: incoming.headers,
    atMs: Date.now(),
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

interface Exchange {
  readonly request: FakeRequest;
  readonly response: ServerResponse;
  readonly nth: number;
  readonly signal: AbortSignal;
}

async function write(answer: FakeAnswer, exchange: Exchange): Promise<void> {
  const { response, signal } = exchange;
  switch (answer.kind) {
    case 'message':
      if (answer.afterMs !== undefined) await delay(answer.afterMs, undefined, { signal });
      await answer.after;
      return writeMessage(answer, exchange);
    case 'error':
      return writeError(answer, response);
    case 'drip':
      return writeDrip(answer, exchange);
    case 'raw':
      return writeRaw(answer, exchange);
    case 'flood':
      return writeFlood(answer, exchange);
    case 'cut':
      return writeCut(answer, exchange);
    case 'pings':
      return writePings(answer.everyMs, exchange);
    case 'silence':
      if (answer.headers) beginStream(response);
      return;
    case 'reset':
      response.socket?.resetAndDestroy();
      return;
    default:
      throw new TypeError(`the fake does not know ${JSON.stringify(answer)}`);
  }
}

/** The Messages object that the fake answers a request with. */
function messageFor({ request, nth }: Exchange, text: string, fields: Fields = {}): Fields {
  return {
    id: `msg_fake_${nth}`,
    type: 'message',
    role: 'assistant',
    model: request.body['model'],
    content: [{ type: 'text', text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 11, output_tokens: 7 },
    ...fields,
  };
}

function eventsOf(message: Fields): string[] {
  const content = Array.isArray(message['content']) ? message['content'] : [];
  const events: Fields[] = [
    { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
  ];
  content.forEach((block: Fields, index) => events.push(...blockEvents(block, index)));
  const { stop_reason, stop_sequence, stop_details, usage } = message;
  events.push({
    type: 'message_delta',
    delta: { stop_reason, stop_sequence, stop_details: stop_details ?? null },
    usage,
  });
  events.push({ type: 'message_stop' });
  return events.map(sse);
}

function blockEvents(block: Fields, index: number): Fields[] {
  const isTool = block['type'] === 'tool_use';
  const ownText = typeof block['text'] === 'string' ? block['text'] : '';
  const text = isTool ? JSON.stringify(block['input']) : ownText;
  const middle = Math.ceil(text.length / 2);
  const deltas = [text.slice(0, middle), text.slice(middle)].map((piece) =>
    isTool
      ? { type: 'input_json_delta', partial_json: piece }
      : { type: 'text_delta', text: piece },
  );
  return [
    {
      type: 'content_block_start',
      index,
      content_block: isTool ? { ...block, input: {} } : { ...block, text: '' },
    },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ];
}

/** One server-sent event, as the API writes it. */
export function sse(event: Fields): string {
  return `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`;
}

function beginStream(response: ServerResponse): void {
  response.setHeader('content-type', 'text/event-stream');
  response.flushHeaders();
}

function writeMessage(
  answer: Extract<FakeAnswer, { kind: 'message' }>,
  exchange: Exchange,
): void {
  const { request, response } = exchange;
  const text = answer.text ?? `answer to ${request.prompt}`;
  const message = messageFor(exchange, text, answer.fields);
  if (request.streamed) {
    response.setHeader('content-type', 'text/event-stream');
    response.end(eventsOf(message).join(''));
  } else {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(message));
  }
}

function writeError(
  answer: Extract<FakeAnswer, { kind: 'error' }>,
  response: ServerResponse,
): void {
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
  const details = answer.errorCode === undefined ? null : { error_code: answer.errorCode };
  const error = { type: answer.type ?? 'api_error', message: 'the fake says so', details };
  response.end(JSON.stringify({ type: 'error', error, request_id: 'req_fake' }));
}

async function writeDrip(
  { everyMs, eventsMax = Infinity }: Extract<FakeAnswer, { kind: 'drip' }>,
  exchange: Exchange,
): Promise<void> {
  const { response, signal } = exchange;
  beginStream(response);
  const [start = '', open = ''] = eventsOf(messageFor(exchange, 'x'));
  response.write(start + open);
  const delta = { type: 'text_delta', text: 'drip ' };
  for (let n = 0; n < eventsMax && !response.destroyed; n += 1) {
    response.write(sse({ type: 'content_block_delta', index: 0, delta }));
    await delay(everyMs, undefined, { signal });
  }
}

async function writeRaw(
  { begin = '', body, chunkBytes = Infinity, everyMs = 1 }: Extract<FakeAnswer, { kind: 'raw' }>,
  { response, signal }: Exchange,
): Promise<void> {
  beginStream(response);
  response.write(begin);
  const bytes = Buffer.from(body);
  const step = Math.min(chunkBytes, bytes.length);
  for (let at = 0; at < bytes.length && !response.destroyed; at += step) {
    response.write(bytes.subarray(at, at + step));
    if (step < bytes.length) await delay(everyMs, undefined, { signal });
  }
  response.end();
}

async function writeFlood(
  { begin, bytes, piece }: Extract<FakeAnswer, { kind: 'flood' }>,
  { response, signal }: Exchange,
): Promise<void> {
  beginStream(response);
  response.write(begin);
  const closed = once(response, 'close', { signal });
  for (let written = 0; written < bytes && !response.destroyed; written += piece.length) {
    if (!response.write(piece)) await Promise.race([once(response, 'drain', { signal }), closed]);
  }
  response.end();
}

async function writeCut(
  answer: Extract<FakeAnswer, { kind: 'cut' }>,
  exchange: Exchange,
): Promise<void> {
  const { response, signal } = exchange;
  const events = eventsOf(messageFor(exchange, 'this answer is never finished'));
  beginStream(response);
  const begun = events.slice(0, answer.events).join('');
  if (answer.reset !== true) return void response.end(begun);
  response.write(begun);
  await delay(20, undefined, { signal });
  response.socket?.resetAndDestroy();
}

async function writePings(everyMs: number, { response, signal }: Exchange): Promise<void> {
  beginStream(response);
  while (!response.destroyed) {
    response.write(sse({ type: 'ping' }));
    await delay(everyMs, undefined, { signal });
  }
}
