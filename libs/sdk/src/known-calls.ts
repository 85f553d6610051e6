import type { CallEnd } from './core/answer.ts';

interface KnownCall {
  readonly attempt: number;
  readonly end: Promise<CallEnd>;
}

/**
 * Calls of late, by their id: one that comes again is given the answer that it had. The oldest go,
 * so that a tool whose effects must not happen twice keeps `callId` itself.
 */
export class KnownCalls {
  readonly #calls = new Map<string, KnownCall>();

  constructor(private readonly callsMax: number) {}

  /** The end of a call: that of before, unless it failed and is asked for anew. */
  async endOf(callId: string, attempt: number, run: () => Promise<CallEnd>): Promise<CallEnd> {
    const known = this.#calls.get(callId);
    if (known !== undefined) {
      const before = await known.end;
      if (before.kind === 'output' || known.attempt >= attempt) return before;
      // Somebody else may have begun the next attempt while we looked.
      if (this.#calls.get(callId) !== known) return this.endOf(callId, attempt, run);
    }
    const end = run();
    this.#calls.delete(callId);
    this.#calls.set(callId, { attempt, end });
    const [oldest] = this.#calls.keys();
    if (this.#calls.size > this.callsMax && oldest !== undefined) this.#calls.delete(oldest);
    return end;
  }
}
