import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  addDelta,
  showChange,
  showResult,
  wholeText,
  type LiveChange,
  type LiveText,
  type TextPiece,
  type TextPlace,
} from './live-text.ts';

const piece = (start: number, text: string, attempt = 1): TextPiece => ({
  turn: 1,
  attempt,
  start,
  text,
});

function play(pieces: readonly TextPiece[]) {
  let live: LiveText | undefined;
  const changes = pieces.flatMap((each) => {
    const step = addDelta(live, each);
    live = step.live;
    return step.changes;
  });
  return { live, changes };
}

describe('the text of an attempt', () => {
  it('grows by what is new, however often and overlapping it is told', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.infiniteStream(fc.nat(7)), (text, steps) => {
        const pieces: TextPiece[] = [];
        for (let end = 0; end < text.length; ) {
          const [back, on] = [steps.next().value ?? 0, steps.next().value ?? 0];
          const start = Math.max(0, end - back);
          end = Math.min(text.length, end + on);
          pieces.push(piece(start, text.slice(start, end)));
          if (on === 0) end = Math.min(text.length, end + 1);
          pieces.push(piece(start, text.slice(start, end)));
        }
        const { live, changes } = play(pieces);
        const told = changes.map((change) => (change.kind === 'added' ? change.text : '')).join('');
        expect(told).toBe(text);
        expect(live?.text).toBe(text);
      }),
    );
  });

  it('begins again with a new attempt, and forgets the earlier one', () => {
    const { changes } = play([piece(0, 'abc'), piece(0, 'x', 2), piece(3, 'd', 1)]);
    expect(changes).toEqual([
      { kind: 'added', turn: 1, attempt: 1, text: 'abc', end: 3 },
      { kind: 'restarted', turn: 1, attempt: 2 },
      { kind: 'added', turn: 1, attempt: 2, text: 'x', end: 1 },
    ]);
  });

  it('keeps what is before a gap, and tells what is after it to who has had the rest', () => {
    const { live, changes } = play([piece(0, 'ab'), piece(4, 'ef'), piece(6, 'g')]);
    expect(live?.text).toBe('ab');
    const places = [undefined, 2, 4, 5, 7].map((end) =>
      end === undefined ? end : { turn: 1, attempt: 1, end },
    );
    const shown = places.map((from) => {
      let place: TextPlace | undefined = from;
      return changes.slice(1).flatMap((change) => {
        const step = showChange(place, change);
        place = step.place;
        return step.changes.map((each) => (each.kind === 'added' ? each.text : each.kind));
      });
    });
    expect(shown).toEqual([[], [], ['ef', 'g'], ['f', 'g'], []]);
  });

  it('shows nothing after a gap until the result fills it', () => {
    const { live } = play([piece(0, 'ab'), piece(5, 'f')]);
    const place = { turn: 1, attempt: 1, end: live?.text.length ?? 0 };
    const end = showResult(place, { result: 'abcdef', attempts: [{ number: 1 }] });
    expect(end.changes).toEqual([
      { kind: 'added', turn: 1, attempt: 1, text: 'cdef', end: 6 },
    ]);
  });
});

describe('the text of turns', () => {
  const of = (turn: number, text: string, attempt = 1) => ({ ...piece(0, text, attempt), turn });

  it('stands after that of the turn before, which stays', () => {
    const { changes } = play([of(1, 'ab'), of(2, 'cd'), of(2, 'x', 2), of(1, 'abc'), of(4, 'e')]);
    expect(changes.map(({ kind, turn, attempt }) => [kind, turn, attempt])).toEqual([
      ['added', 1, 1],
      ['turn', 2, 1],
      ['added', 2, 1],
      ['restarted', 2, 2],
      ['added', 2, 2],
      ['turn', 4, 1],
      ['added', 4, 1],
    ]);
  });

  it.each([
    ['nothing', undefined, ['turn', 'added']],
    ['a part of the turn before', { turn: 1, attempt: 1, end: 1 }, ['turn', 'added']],
    ['another attempt of the turn', { turn: 2, attempt: 1, end: 1 }, ['restarted', 'added']],
    ['half of it', { turn: 2, attempt: 2, end: 1 }, ['added']],
    ['a later turn', { turn: 3, attempt: 1, end: 1 }, []],
  ])('is told to who has %s', (_what, place, kinds) => {
    const { changes } = showChange(place, wholeText({ turn: 2, attempt: 2, text: 'cd' }));
    expect(changes.map(({ kind }) => kind)).toEqual(kinds);
  });
});

describe('the end of a job', () => {
  it.each([
    ['nothing was shown', undefined, ['ab']],
    ['all was shown', { turn: 1, attempt: 1, end: 2 }, []],
    ['half was shown', { turn: 1, attempt: 1, end: 1 }, ['b']],
  ])('adds what is missing when %s', (_what, place, texts) => {
    const { changes } = showResult(place, { result: 'ab', attempts: [{ number: 1 }] });
    expect(changes.map((change) => (change.kind === 'added' ? change.text : ''))).toEqual(texts);
  });

  it('begins again when the last attempt was never shown', () => {
    const place = { turn: 1, attempt: 1, end: 2 };
    const ended = { result: 'ab', attempts: [{ number: 1 }, { number: 2 }] };
    const { changes } = showResult(place, ended);
    expect(changes.map(({ kind }) => kind)).toEqual(['restarted', 'added']);
  });

  it('adds nothing when the job failed', () => {
    const place = { turn: 1, attempt: 1, end: 2 };
    expect(showResult(place, { attempts: [] }).changes).toEqual([]);
  });
});

/** A client: the text of its newest attempt, and where it is. Throws on a gap or a repeat. */
class Reader {
  text = '';
  place: TextPlace | undefined;

  take(changes: readonly LiveChange[]): void {
    for (const change of changes) {
      if (change.kind !== 'added') {
        expect(change.kind).toBe('restarted');
        expect(change.attempt).toBeGreaterThan(this.place?.attempt ?? 0);
        this.text = '';
      } else {
        expect(change.end - change.text.length).toBe(this.text.length);
        this.text += change.text;
      }
      this.place = { turn: 1, attempt: change.attempt, end: this.text.length };
    }
  }
}

/** What one replica tells a reader that connects when `before` pieces have come to it. */
function connect(reader: Reader, o: { pieces: readonly TextPiece[]; before: number }): void {
  let live = play(o.pieces.slice(0, o.before)).live;
  const show = (change: LiveChange): void => reader.take(showChange(reader.place, change).changes);
  if (live !== undefined) show(wholeText(live));
  for (const each of o.pieces.slice(o.before)) {
    const step = addDelta(live, each);
    live = step.live;
    step.changes.forEach(show);
  }
}

describe('a stream that is cut and resumed', () => {
  const answer = fc.string({ minLength: 1, maxLength: 30 });
  const texts = fc.array(answer, { minLength: 1, maxLength: 4 });
  const connections = fc.array(fc.record({ upTo: fc.nat(40), before: fc.nat(40) }), {
    maxLength: 6,
  });

  it('gives the result without gap or repeat, at whatever replica and however far that is', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 5 }), connections, (attempts, size, cuts) => {
        const pieces = attempts.flatMap((text, index) => {
          const starts = Array.from({ length: Math.ceil(text.length / size) }, (_, n) => n * size);
          const told = starts.map((at) => piece(at, text.slice(at, at + size), index + 1));
          // Every piece comes again, and the attempt before says its last once more.
          return told.flatMap((each) => [each, ...told.slice(0, 1), each]);
        });
        const reader = new Reader();
        // Each replica has its own lag: it may know less than the reader already has.
        for (const { upTo, before } of cuts) {
          connect(reader, { pieces: pieces.slice(0, upTo), before: Math.min(before, upTo) });
        }
        const ended = {
          result: attempts.at(-1),
          attempts: attempts.map((_, index) => ({ number: index + 1 })),
        };
        reader.take(showResult(reader.place, ended).changes);
        expect(reader.text).toBe(attempts.at(-1));
        expect(showResult(reader.place, ended).changes).toEqual([]);
      }),
    );
  });
});
