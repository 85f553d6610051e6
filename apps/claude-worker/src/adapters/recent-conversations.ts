import { LRUCache } from 'lru-cache';

import type { SessionTurn } from '../core/call.ts';
import { sessionBytesMax } from '../core/session-history.ts';

/** Bytes of conversations that are kept at hand, as the table has them. */
const bytesKeptMax = 32 * 1024 * 1024;
/** An agent's next turn mostly comes within seconds; a person's, within some minutes. */
const keptMs = 15 * 60_000;
/** Of an entry beside its messages. */
const entryBytes = 256;

/** Messages, and the bytes that the table counts for them. */
export interface Conversation {
  readonly messages: readonly unknown[];
  readonly bytes: number;
}

interface Kept extends Conversation {
  readonly lastSeq: number;
}

/**
 * Conversations whose last turns were read or written by this process, so that the next one need
 * not read them again. A copy of what the table has, and never more: a turn is added when it is
 * committed, turns never change, and an entry counts for the turn right after its last one alone.
 * So it does not matter which process runs a turn, or that this one restarts.
 *
 * Only conversations of which each turn has been answered: a turn that is missing may have been
 * overtaken by the ones after it, and still come.
 */
export class RecentConversations {
  readonly #kept = new LRUCache<string, Kept>({
    maxSize: bytesKeptMax,
    sizeCalculation: ({ bytes }) => bytes + entryBytes,
    ttl: keptMs,
  });

  /** The messages before a turn; null when the table has to be asked. */
  before(tenant: string, turn: SessionTurn): readonly unknown[] | null {
    const kept = this.#kept.get(keyOf(tenant, turn));
    return kept?.lastSeq === turn.seq - 1 ? kept.messages : null;
  }

  /** What the table had before a turn. @param answered how many turns that is */
  read(tenant: string, turn: SessionTurn, before: Conversation & { answered: number }): void {
    const { answered, bytes, messages } = before;
    if (answered !== turn.seq - 1) return;
    this.#keep(keyOf(tenant, turn), { lastSeq: turn.seq - 1, bytes, messages });
  }

  /** The end of a turn is committed. @param added null: it was not answered */
  ended(tenant: string, turn: SessionTurn, added: Conversation | null): void {
    const key = keyOf(tenant, turn);
    const before = turn.seq === 1 ? nothing : this.#kept.get(key);
    if (before?.lastSeq !== turn.seq - 1 || added === null) return this.#forget(key);
    this.#keep(key, {
      lastSeq: turn.seq,
      bytes: before.bytes + added.bytes,
      messages: [...before.messages, ...added.messages],
    });
  }

  /** Old conversations may have been deleted, by this process or another one. */
  clear(): void {
    this.#kept.clear();
  }

  /** The end of a turn was not written: someone else's may have been. */
  lost(tenant: string, turn: SessionTurn): void {
    this.#forget(keyOf(tenant, turn));
  }

  #keep(key: string, kept: Kept): void {
    // One that is too long to be sent is refused by what the table says of it.
    if (kept.bytes > sessionBytesMax) this.#forget(key);
    else this.#kept.set(key, kept);
  }

  #forget(key: string): void {
    this.#kept.delete(key);
  }
}

const nothing: Kept = { lastSeq: 0, bytes: 0, messages: [] };

function keyOf(tenant: string, { sessionId }: SessionTurn): string {
  return `${tenant}/${sessionId}`;
}
