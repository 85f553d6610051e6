import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { EventBlocks, type StreamEvent } from './event-blocks.ts';

const stream =
  'retry: 2000\nevent: stream.opened\ndata: {"a":1}\n\n: ka\n\n' +
  'event: delta\nid: job-1:1.1.3\ndata: {"text":"é\\n"}\n\nid: only\n\ndata: one\ndata: two\n\n';
const events: StreamEvent[] = [
  { event: 'stream.opened', id: undefined, data: '{"a":1}' },
  { event: 'delta', id: 'job-1:1.1.3', data: '{"text":"é\\n"}' },
  { event: 'message', id: undefined, data: 'one\ntwo' },
];

describe('events out of a stream', () => {
  it('are the same whatever the pieces that it comes in', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 8 }), (cuts) => {
        const blocks = new EventBlocks();
        const places = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const read = places
          .slice(1)
          .map((end, index) => blocks.read(stream.slice(places[index], end)));
        expect(read.flatMap((piece) => piece.events)).toEqual(events);
        expect(read.findLast(({ retryMs }) => retryMs !== undefined)?.retryMs).toBe(2000);
      }),
    );
  });

  it('are not there before their end', () => {
    const blocks = new EventBlocks();
    expect(blocks.read('data: half').events).toEqual([]);
    expect(blocks.read('\r\n\r\n').events).toEqual([
      { event: 'message', id: undefined, data: 'half' },
    ]);
  });
});
