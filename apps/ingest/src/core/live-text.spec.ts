import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { addDelta, addResult, type LiveText, type TextPiece } from './live-text.ts';

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

  it('shows nothing after a gap until the result fills it', () => {
    const { live, changes } = play([piece(0, 'ab'), piece(5, 'f')]);
    expect(changes).toHaveLength(1);
    const end = addResult(live, { result: 'abcdef', attempts: [{ number: 1 }] });
    expect(end.changes).toEqual([
      { kind: 'added', turn: 1, attempt: 1, text: 'cdef', end: 6 },
    ]);
  });
});

describe('the end of a job', () => {
  it.each([
    ['nothing was shown', undefined, ['ab']],
    ['all was shown', { turn: 1, attempt: 1, text: 'ab', isWhole: true }, []],
    ['half was shown', { turn: 1, attempt: 1, text: 'a', isWhole: true }, ['b']],
  ])('adds what is missing when %s', (_what, live, texts) => {
    const { changes } = addResult(live, { result: 'ab', attempts: [{ number: 1 }] });
    expect(changes.map((change) => (change.kind === 'added' ? change.text : ''))).toEqual(texts);
  });

  it('begins again when the last attempt was never shown', () => {
    const live = { turn: 1, attempt: 1, text: 'ax', isWhole: true };
    const { changes } = addResult(live, { result: 'ab', attempts: [{ number: 1 }, { number: 2 }] });
    expect(changes.map(({ kind }) => kind)).toEqual(['restarted', 'added']);
  });

  it('adds nothing when the job failed', () => {
    const live = { turn: 1, attempt: 1, text: 'ax', isWhole: true };
    expect(addResult(live, { attempts: [] }).changes).toEqual([]);
  });
});
