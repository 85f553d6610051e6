import type { ClaudeBacklog, OutgoingMessage, Usage } from '@millrace/contracts';
import type { Claimed, ReleaseUnheld } from '@millrace/work';

import type {
  Call,
  CallCancel,
  CallName,
  CallParams,
  CallRequest,
  SessionTurn,
} from './core/call.ts';
import type { ClaudeAnswer, CutReason } from './core/claude-answer.ts';
import type { ClosedAttempt } from './core/settle-call.ts';

/** One HTTP send. */
export interface ClaudeSend {
  readonly params: CallParams;
  readonly streamed: boolean;
  readonly totalMs: number;
  /** Ends the send: with `DeadlinePassed`, or with an interruption of the work queue. */
  readonly signal: AbortSignal;
  /** Told of every event of a stream, with the text that it adds. */
  readonly onEvent: (text: string) => void;
}

/** Why a send was ended by us: one of its deadlines has passed. */
export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed';

  constructor(readonly reason: CutReason) {
    super(`the call was ended: ${reason}`);
  }
}

/** Why a send was ended by us: the job's `complete_by` has passed. */
export class CallExpired extends Error {
  override readonly name = 'CallExpired';

  constructor() {
    super('the call was ended: complete_by has passed');
  }
}

/** The Messages API. Never rejects for what the other side does: that is an answer. */
export abstract class ClaudeApi {
  abstract send(request: ClaudeSend): Promise<ClaudeAnswer>;
}

/** A call as it comes in. */
export interface NewCall {
  readonly request: CallRequest;
  /** A slot is free for it: it goes to this process at once if its session lets it. */
  readonly claim: boolean;
}

export type Inserted =
  | { readonly kind: 'dispatched'; readonly dispatchedAtMs: number }
  | { readonly kind: 'queued' }
  | { readonly kind: 'existed' };

/** A call that was there before its request came again. */
export type ExistingCall =
  | { readonly kind: 'open'; readonly id: string }
  | {
      readonly kind: 'ended';
      readonly id: string;
      readonly completionType: string;
      /** The completion's JSON, word for word. */
      readonly completion: string;
      readonly finishedAtMs: number;
    }
  /** It has ended, and what was told of that cannot be read. */
  | { readonly kind: 'unreadable'; readonly id: string };

/** How an attempt is written down: one row of the one statement that settles. */
export interface LedgerEntry {
  readonly call: Call;
  readonly endedAtMs: number;
  readonly attempt: ClosedAttempt | null;
  readonly model: string | null;
  readonly usage: Usage | null;
  readonly next: NextState;
}

export type NextState =
  | {
      readonly kind: 'ended';
      readonly state: 'SETTLED' | 'FAILED' | 'UNKNOWN';
      readonly finished: OutgoingMessage;
      readonly deadLetter: OutgoingMessage | null;
      /** What the turn adds to its conversation. */
      readonly turn: readonly unknown[] | null;
    }
  | {
      readonly kind: 'again';
      readonly delayMs: number;
      readonly counts: 'failure' | 'redispatch' | 'nothing' | 'no_attempt';
    }
  | { readonly kind: 'unsent'; readonly delayMs: number };

export type History =
  | { readonly kind: 'messages'; readonly messages: readonly unknown[] }
  | { readonly kind: 'too_long'; readonly bytes: number }
  /** A turn before this one has not ended. */
  | { readonly kind: 'gap' }
  /** One of the turns cannot be read. */
  | { readonly kind: 'unreadable' };

/** A call that some process holds, as another one finds it. */
export interface HeldCall {
  readonly call: Call;
  /** The database's time. */
  readonly seenAtMs: number;
}

/** The ledger of calls: every change is one statement, guarded by owner and attempt. */
export abstract class CallLedger {
  /** One result for each; a rejected one is a BadRowError or says that Postgres is away. */
  abstract insert(
    calls: readonly NewCall[],
    owner: string,
  ): Promise<PromiseSettledResult<Inserted>[]>;
  abstract findExisting(calls: readonly CallName[]): Promise<ExistingCall[]>;
  abstract claim(options: { owner: string; limit: number }): Promise<Claimed<Call>>;
  /**
   * `settled`: also when it was written before and only the answer had been lost. `lost`: the
   * attempt is no longer its owner's, and only late usage was noted.
   */
  abstract settle(entry: LedgerEntry): Promise<'settled' | 'lost'>;
  /** Notes the usage of an attempt that is no longer its owner's. Changes no call. */
  abstract noteLate(entry: LedgerEntry): Promise<void>;
  /** Calls that these processes hold. */
  abstract heldBy(owners: readonly string[], limit: number): Promise<HeldCall[]>;
  abstract cancelRequested(owner: string): Promise<string[]>;
  /**
   * Asks for calls to be cancelled, known or not yet known. What runs hears of it by its heartbeat.
   * @returns those that waited: they are `owner`'s now, to be ended without being sent.
   */
  abstract requestCancel(cancels: readonly CallCancel[], owner: string): Promise<Call[]>;
  /**
   * Takes calls that waited beyond their `complete_by`, to be ended by `owner` without being sent:
   * turns of sessions when the turns before them have ended.
   */
  abstract takeExpired(owner: string, limit: number): Promise<Call[]>;
  /** Puts back, unsent, what `owner` has held in the table for `ageMs` but does not know of. */
  abstract releaseUnheld(options: ReleaseUnheld): Promise<number>;
  /** The conversation before a turn, oldest message first. */
  abstract history(tenant: string, turn: SessionTurn): Promise<History>;
  /**
   * Deletes the conversations of some sessions of users in which no turn has ended for more than so
   * many days, unless one waits or runs. Their next turns begin new ones.
   */
  abstract forgetSessions(
    unusedDays: number,
  ): Promise<{ readonly sessions: number; readonly more: boolean }>;
  /** Rows that nobody runs yet. */
  abstract countWaiting(): Promise<number>;
  /** Resolves when all that was handed over is written, or has failed. */
  abstract close(): Promise<void>;
}

/** How much work waits, in all of the fleet. */
export abstract class Backlogs {
  /**
   * Counts when it is this process's turn to.
   * @returns null when it is not, or when nothing waits and that was told before.
   */
  abstract count(): Promise<ClaudeBacklog | null>;
}

/** Bodies too large to travel in an event, by tenant and id. */
export interface BlobStore {
  put(tenant: string, id: string, body: { bytes: Buffer; ttlSeconds: number }): Promise<void>;
  get(tenant: string, id: string): Promise<Buffer | null>;
}
