import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { EventSource } from 'eventsource';
import { z } from 'zod';

import { endOfAgent, register, startAgent, stepsOf } from './agent-runs.ts';
import { ToolServer } from './receivers/tool-server.ts';
import { stack, until } from './running-stack.ts';

jest.setTimeout(120_000);

const eventTypes = [
  'stream.opened',
  'snapshot',
  'delta',
  'turn.started',
  'stream.restarted',
  'step',
  'job.running',
];
const lastTypes = ['job.succeeded', 'job.failed', 'job.cancelled', 'job.expired'];

interface SeenStep {
  readonly kind: string;
  readonly tool?: string;
  readonly workflow_id: string;
  readonly version: number;
  readonly index: number;
}

let tools: ToolServer;

beforeAll(async () => {
  tools = await ToolServer.listen();
  const target = { kind: 'http', url: tools.url('/look') } as const;
  await register('peek', { effect: 'read', approval: 'never', target });
});
afterAll(() => tools?.close());

/** A common client whose connections break after a step, and which goes on at another replica. */
class AgentListener {
  readonly steps: SeenStep[] = [];
  /** Of each turn. */
  readonly texts: string[] = [];
  readonly restarts: string[] = [];
  /** Of each connection: the replica, and the id that it went on from. */
  readonly connections: { readonly replica: number; readonly lastId: string | null }[] = [];
  private isOver = false;
  private readonly source: EventSource;

  /** @param cutAfter of each connection that is to break: the kind of the step that is its last */
  constructor(id: string, private readonly cutAfter: readonly string[]) {
    this.source = new EventSource(`${stack.url}/v1/jobs/${id}/events`, {
      fetch: (url, init) => this.connect(new URL(url), init),
    });
    for (const type of [...eventTypes, ...lastTypes, 'message']) {
      this.source.addEventListener(type, (event) => this.note(event));
    }
  }

  async over(): Promise<void> {
    await until('the end of the stream', 90_000, () => this.isOver);
    this.source.close();
  }

  private async connect(url: URL, init: RequestInit): Promise<Response> {
    const replica = this.connections.length % stack.apiUrls.length;
    const headers = new Headers(init.headers);
    this.connections.push({ replica, lastId: headers.get('last-event-id') });
    headers.set('authorization', `Bearer ${stack.apiKey}`);
    const last = this.cutAfter[this.connections.length - 1];
    const at = new URL(url.pathname, stack.apiUrls[replica]);
    const response = await fetch(at, { ...init, headers });
    return new Response(last === undefined ? response.body : cutAt(response.body, last), response);
  }

  private note({ data, type }: MessageEvent): void {
    if (lastTypes.includes(type)) this.isOver = true;
    const told = JSON.parse(String(data));
    if (type === 'step') this.steps.push(told);
    if (type === 'stream.restarted') this.restarts.push(String(data));
    if (type !== 'delta' && type !== 'snapshot') return;
    const at = Number(told.turn) - 1;
    // A snapshot is for those who have nothing of its turn yet.
    if (type === 'snapshot') expect(this.texts[at]).toBeUndefined();
    this.texts[at] = `${this.texts[at] ?? ''}${told.text}`;
  }
}

/** Passes events on as far as the first step of a kind, whole, and then breaks the connection. */
function cutAt(body: ReadableStream<Uint8Array> | null, kind: string) {
  const [decoder, encoder] = [new TextDecoder(), new TextEncoder()];
  let [isCut, rest] = [false, ''];
  return body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        rest += decoder.decode(chunk, { stream: true });
        for (let end = rest.indexOf('\n\n'); end >= 0 && !isCut; end = rest.indexOf('\n\n')) {
          const frame = rest.slice(0, end + 2);
          rest = rest.slice(end + 2);
          controller.enqueue(encoder.encode(frame));
          isCut = frame.includes('event: step') && frame.includes(`"kind":"${kind}"`);
        }
        // Not before what was passed on has been read.
        if (isCut) setTimeout(() => controller.error(new Error('the connection broke')));
      },
    }),
  );
}

const placeOf = ({ index, version }: SeenStep) => version * 1_000 + index;

/** What an answer says, without what it asks for. */
function textOf(output: unknown): string {
  const blocks: unknown[] = Array.isArray(output) ? output : [];
  const texts = blocks.map((block) => Object(block)).filter(({ type }) => type === 'text');
  return texts.map(({ text }) => String(text)).join('');
}

describe('the stream of an agent whose client is cut off after steps', () => {
  it('goes on at the other replica: each step once, each turn as the timeline has it', async () => {
    const { id } = await startAgent({
      script: '[[tool:peek {"at":2} && peek {"at":2}]] [[tool:peek {"at":4}]]',
      params: { tools: ['peek'], stream: true },
    });
    const listener = new AgentListener(id, ['tool_call', 'tool_result', 'model_call']);
    // What a tool says comes when the client is there again: at that connection.
    tools.answer = async ({ arguments: given }) => {
      const { at } = z.object({ at: z.int() }).parse(given);
      await until(`connection ${at}`, 30_000, () => listener.connections.length >= at);
      return { at };
    };
    await listener.over();
    const done = await endOfAgent(id);
    expect(done.status).toBe('succeeded');

    const { connections, restarts, steps, texts } = listener;
    expect(connections.map(({ replica }) => replica)).toEqual([0, 1, 0, 1]);
    // Each went on from an id that names a step.
    for (const { lastId } of connections.slice(1)) expect(lastId).toMatch(/~\d+$/);
    expect(restarts).toEqual([]);
    expect(steps.map(({ kind, tool }) => tool ?? kind)).toEqual([
      'model_call',
      ...['peek', 'peek', 'peek', 'peek', 'model_call'],
      ...['peek', 'peek', 'model_call'],
    ]);
    const places = steps.map(placeOf);
    expect(places).toEqual([...new Set(places)].toSorted((a, b) => a - b));

    const turns = await stepsOf(id, 'model_call');
    expect(texts).toEqual(turns.map(({ output }) => textOf(output)));
    expect(texts).toHaveLength(3);
    expect(texts.at(-1)).toBe(done.result);
  });
});
