import { describe, expect, it } from '@jest/globals';
import { conversationIdSchema } from '@millrace/contracts';
import fc from 'fast-check';

import { sessionBytesMax } from '../core/session-history.ts';
import { RecentConversations } from './recent-conversations.ts';

const tenant = 'default';

function turnOf(session: string, seq: number) {
  return { sessionId: conversationIdSchema.parse(session), seq };
}

function said(text: string) {
  return { messages: [{ role: 'user', content: text }], bytes: 20 };
}

/** A session as the table has it: which turns were answered, and the last that ended. */
class Session {
  last = 0;
  /** Turns that were overtaken, and are still to come. */
  readonly overtaken: number[] = [];
  readonly answered = new Map<number, readonly unknown[]>();

  before(seq: number): readonly unknown[] {
    const earlier = [...this.answered].filter(([each]) => each < seq).sort(([x], [y]) => x - y);
    return earlier.flatMap(([, messages]) => messages);
  }
}

describe('conversations at hand', () => {
  it('are those of the table, or not known, whichever process runs a turn', () => {
    const step = fc.record({
      session: fc.constantFrom('a/s', 'b/s'),
      process: fc.nat(1),
      what: fc.oneof(
        { weight: 20, arbitrary: fc.constant('answered') },
        { weight: 2, arbitrary: fc.constant('overtaken') },
        fc.constantFrom('failed', 'lost'),
      ),
      /** What was committed may be heard of late, or never. */
      heard: fc.oneof(
        { weight: 8, arbitrary: fc.constant('at once') },
        fc.constantFrom('later', 'never'),
      ),
      isLate: fc.nat(3).map((n) => n === 0),
    });
    let known = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), (steps) => {
        const processes = [new RecentConversations(), new RecentConversations()];
        const sessions = new Map([['a/s', new Session()], ['b/s', new Session()]]);
        const unheard: (() => void)[] = [];
        for (const { heard, isLate, process, session: id, what } of steps) {
          const cache = processes[process]!;
          const session = sessions.get(id)!;
          if (isLate) unheard.shift()?.();
          const late = isLate ? session.overtaken.shift() : undefined;
          const turn = turnOf(id, late ?? session.last + 1);
          if (what === 'overtaken' && late === undefined) {
            session.overtaken.push(turn.seq);
            session.last = turn.seq;
            continue;
          }
          const messages = session.before(turn.seq);
          const found = cache.before(tenant, turn);
          if (found !== null) expect(found).toEqual(messages);
          if (found !== null) known += 1;
          const { length: answered } = messages;
          const before = { answered, messages, bytes: 20 * answered };
          if (found === null) cache.read(tenant, turn, before);
          if (what === 'lost') {
            cache.lost(tenant, turn);
            if (late !== undefined) session.overtaken.push(late);
            continue;
          }
          const added = what === 'failed' ? null : said(`${id} ${turn.seq}`);
          if (added !== null) session.answered.set(turn.seq, added.messages);
          session.last = Math.max(session.last, turn.seq);
          const hear = (): void => cache.ended(tenant, turn, added);
          if (heard === 'at once') hear();
          else if (heard === 'later') unheard.push(hear);
        }
      }),
      { numRuns: 1_000 },
    );
    expect(known).toBeGreaterThan(1_000);
  });

  it('grow by the turns that end here', () => {
    const cache = new RecentConversations();
    cache.ended(tenant, turnOf('a/s', 1), said('one'));
    cache.ended(tenant, turnOf('a/s', 2), said('two'));
    expect(cache.before(tenant, turnOf('a/s', 3))).toEqual([
      ...said('one').messages,
      ...said('two').messages,
    ]);
    expect(cache.before('another', turnOf('a/s', 3))).toBeNull();
    expect(cache.before(tenant, turnOf('a/s', 2))).toBeNull();
    expect(cache.before(tenant, turnOf('a/s', 4))).toBeNull();
  });

  it('are not known when a turn before was not answered: it may have been overtaken', () => {
    const cache = new RecentConversations();
    cache.ended(tenant, turnOf('a/s', 1), null);
    cache.read(tenant, turnOf('a/s', 3), { ...said('two'), answered: 1 });
    expect(cache.before(tenant, turnOf('a/s', 2))).toBeNull();
    expect(cache.before(tenant, turnOf('a/s', 3))).toBeNull();
  });

  it.each([
    ['a turn that was not read is missing', 2, 20],
    ['it is too long to be sent', 1, sessionBytesMax + 1],
  ])('are not known when %s', (_why, seq, bytes) => {
    const cache = new RecentConversations();
    cache.ended(tenant, turnOf('a/s', seq), { ...said('x'), bytes });
    expect(cache.before(tenant, turnOf('a/s', seq + 1))).toBeNull();
  });

  it('are forgotten when some were deleted', () => {
    const cache = new RecentConversations();
    cache.ended(tenant, turnOf('a/s', 1), said('one'));
    cache.clear();
    expect(cache.before(tenant, turnOf('a/s', 2))).toBeNull();
  });

  it('leave, the longest unused first, when they are too many', () => {
    const cache = new RecentConversations();
    for (let n = 0; n < 10; n += 1) {
      cache.ended(tenant, turnOf(`c${n}/s`, 1), { ...said('x'), bytes: sessionBytesMax });
    }
    const known = Array.from({ length: 10 }, (_, n) => cache.before(tenant, turnOf(`c${n}/s`, 2)));
    expect(known.filter((messages) => messages !== null)).toHaveLength(3);
    expect(known[9]).toEqual(said('x').messages);
  });
});
