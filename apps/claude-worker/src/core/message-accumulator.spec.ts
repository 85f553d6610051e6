import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { MessageAccumulator } from './message-accumulator.ts';

type Event = Record<string, unknown>;

const start: Event = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-5-5',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 12, output_tokens: 1, cache_read_input_tokens: 3 },
  },
};

function end(stopReason: string | null = 'end_turn'): Event[] {
  return [
    {
      type: 'message_delta',
      delta: { stop_reason: stopReason, stop_sequence: null },
      usage: { output_tokens: 42, cache_read_input_tokens: null },
    },
    { type: 'message_stop' },
  ];
}

/** A block's text cut at these places, as deltas. */
function pieces(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => text.slice(from, places[i] ?? text.length));
}

interface Block {
  readonly kind: 'text' | 'thinking' | 'tool_use';
  readonly text: string;
}

function blockEvents(block: Block, index: number, cuts: readonly number[]): Event[] {
  const delta = (fields: Event): Event => ({ type: 'content_block_delta', index, delta: fields });
  const stop = { type: 'content_block_stop', index };
  const begin = (block: Event) => ({ type: 'content_block_start', index, content_block: block });
  switch (block.kind) {
    case 'text':
      return [
        begin({ type: 'text', text: '' }),
        ...pieces(block.text, cuts).map((text) => delta({ type: 'text_delta', text })),
        stop,
      ];
    case 'thinking':
      return [
        begin({ type: 'thinking', thinking: '', signature: '' }),
        ...pieces(block.text, cuts).map((t) => delta({ type: 'thinking_delta', thinking: t })),
        delta({ type: 'signature_delta', signature: 'sig' }),
        stop,
      ];
    case 'tool_use':
      return [
        begin({ type: 'tool_use', id: `toolu_${index}`, name: 'look', input: {} }),
        ...pieces(JSON.stringify({ query: block.text }), cuts).map((json) =>
          delta({ type: 'input_json_delta', partial_json: json }),
        ),
        stop,
      ];
  }
}

function contentOf(block: Block, index: number): Event {
  switch (block.kind) {
    case 'text':
      return { type: 'text', text: block.text };
    case 'thinking':
      return { type: 'thinking', thinking: block.text, signature: 'sig' };
    case 'tool_use':
      return { type: 'tool_use', id: `toolu_${index}`, name: 'look', input: { query: block.text } };
  }
}

function accumulate(events: readonly unknown[]) {
  const accumulator = new MessageAccumulator();
  const text = events.map((event) => accumulator.apply(event)).join('');
  return { text, end: accumulator.end() };
}

const blocks = fc.array(
  fc.record({
    kind: fc.constantFrom<Block['kind']>('text', 'thinking', 'tool_use'),
    text: fc.string({ unit: 'grapheme', maxLength: 40 }),
  }),
  { maxLength: 4 },
);
const cuts = fc.array(fc.nat({ max: 60 }), { maxLength: 6 });

describe('a streamed message', () => {
  it('is the same however it is cut into events, with pings and unknown events between', () => {
    const noise = fc.array(
      fc.constantFrom<unknown>({ type: 'ping' }, { type: 'new_event', index: 7 }, null, 'x'),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(blocks, cuts, noise, (content, places, between) => {
        const events = [
          start,
          ...content.flatMap((block, i) => [...blockEvents(block, i, places), ...between]),
          ...end('tool_use'),
        ];
        const result = accumulate(events);
        const told = content.filter(({ kind }) => kind === 'text').map(({ text }) => text);
        expect(result.text).toBe(told.join(''));
        expect(result.end).toMatchObject({
          kind: 'whole',
          message: {
            id: 'msg_1',
            content: content.map(contentOf),
            stop_reason: 'tool_use',
            usage: { input_tokens: 12, output_tokens: 42, cache_read_input_tokens: 3 },
          },
        });
      }),
    );
  });

  it('is never whole when it ends early', () => {
    fc.assert(
      fc.property(blocks, cuts, fc.nat(), (content, places, at) => {
        const events = [
          start,
          ...content.flatMap((block, i) => blockEvents(block, i, places)),
          ...end(),
        ];
        const cut = events.slice(0, at % events.length);
        expect(accumulate(cut).end.kind).toBe('truncated');
      }),
    );
  });

  it('is not whole without a stop_reason', () => {
    expect(accumulate([start, ...end(null)]).end.kind).toBe('truncated');
  });

  it('is not whole when an event in the middle is missing or doubled', () => {
    const text = blockEvents({ kind: 'text', text: 'hello' }, 0, [2]);
    const events = [start, ...text, ...blockEvents({ kind: 'text', text: 'you' }, 1, []), ...end()];
    // Without a block's begin or end, or with it twice; a delta by itself cannot be missed.
    for (const i of [0, 1, 4, 5]) {
      expect(accumulate(events.filter((_, at) => at !== i)).end.kind).not.toBe('whole');
      const doubled = events.flatMap((event, at) => (at === i ? [event, event] : [event]));
      expect(accumulate(doubled).end.kind).not.toBe('whole');
    }
  });

  it('keeps a tool call that max_tokens cut off, and refuses one that nothing explains', () => {
    const cutOff = [
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', input: {} } },
      {
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'input_json_delta', partial_json: '{"a": ' },
      },
      { type: 'content_block_stop', index: 0 },
    ];
    expect(accumulate([start, ...cutOff, ...end('max_tokens')]).end.kind).toBe('whole');
    expect(accumulate([start, ...cutOff, ...end('tool_use')]).end.kind).toBe('malformed');
  });
});
