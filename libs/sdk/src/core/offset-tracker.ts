/**
 * Of one partition: which records were taken up, and up to where all of them are answered.
 * Records are answered in any order; an offset is committed only when everything before it is.
 */
export class OffsetTracker {
  readonly #open = new Set<bigint>();
  #next: bigint | null = null;
  #committed: bigint | null = null;

  taken(offset: string): void {
    const at = BigInt(offset);
    this.#open.add(at);
    if (this.#next === null || at >= this.#next) this.#next = at + 1n;
  }

  answered(offset: string): void {
    this.#open.delete(BigInt(offset));
  }

  /** The offset to be committed, which is the next one to be read; null: nothing new. */
  due(): string | null {
    if (this.#next === null) return null;
    let due = this.#next;
    for (const open of this.#open) if (open < due) due = open;
    return due === this.#committed || this.#isBeforeAny(due) ? null : String(due);
  }

  committed(offset: string): void {
    this.#committed = BigInt(offset);
  }

  /** Nothing was answered yet that lies before it. */
  #isBeforeAny(due: bigint): boolean {
    return this.#committed !== null && due < this.#committed;
  }
}
