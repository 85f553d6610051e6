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

describe('conversations at hand', () => {
  it('are those of the table, or not known, whichever process runs a turn', () => {
    const step = fc.record({
      session: fc.constantFrom('a/s', 'b/s'),
      process: fc.nat(1),
      what: fc.constantFrom('answered', 'answered', 'failed', 'lost', 'told late'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const processes = [new RecentConversations(), new RecentConversations()];
        const table = new Map<string, { seq: number; messages: readonly unknown[] }>();
        for (const { process, session, what } of steps) {
          const cache = processes[process]!;
          const { messages, seq: last } = table.get(session) ?? { messages: [], seq: 0 };
          const turn = turnOf(session, last + 1);
          const known = cache.before(tenant, turn);
          if (known !== null) expect(known).toEqual(messages);
          if (known === null && last > 0) cache.read(tenant, turn, { messages, bytes: 20 * last });
          if (what === 'lost') {
            cache.lost(tenant, turn);
            continue;
          }
          const added = what === 'failed' ? null : said(`${session} ${turn.seq}`);
          const all = added === null ? messages : [...messages, ...added.messages];
          table.set(session, { seq: turn.seq, messages: all });
          // What was committed may stay unknown to who committed it: the answer was lost.
          if (what !== 'told late') cache.ended(tenant, turn, added);
        }
      }),
    );
  });

  it('grow by the turns that end here', () => {
    const cache = new RecentConversations();
    cache.ended(tenant, turnOf('a/s', 1), said('one'));
    cache.ended(tenant, turnOf('a/s', 2), null);
    cache.ended(tenant, turnOf('a/s', 3), said('three'));
    expect(cache.before(tenant, turnOf('a/s', 4))).toEqual([
      ...said('one').messages,
      ...said('three').messages,
    ]);
    expect(cache.before('another', turnOf('a/s', 4))).toBeNull();
    expect(cache.before(tenant, turnOf('a/s', 3))).toBeNull();
    expect(cache.before(tenant, turnOf('a/s', 5))).toBeNull();
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
