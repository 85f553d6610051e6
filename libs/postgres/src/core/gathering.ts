/**
 * What waits for the next statement, and what goes into it.
 *
 * G1 A key is in at most one statement at a time: the keys of a batch stay closed until `reopen`.
 * G2 Entries of one key leave in the order in which they came, one per batch.
 * G3 A batch is sorted by key, so that two statements lock their rows in the same order.
 * G4 A batch has at most `rowsMax` entries and `bytesMax` bytes, but always at least one entry.
 */
export interface Gathered {
  readonly key: string;
  readonly bytes: number;
}

export interface BatchLimits {
  readonly rowsMax: number;
  readonly bytesMax: number;
}

export class Gathering<Entry extends Gathered> {
  readonly #limits: BatchLimits;
  /** First entries of open keys, in order of arrival. */
  #ready: Entry[] = [];
  /** Present for every key that has an entry in `#ready` or in a batch; holds those behind it. */
  readonly #behind = new Map<string, Entry[] | null>();
  #waiting = 0;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  /** Entries that could go into a batch now. */
  get ready(): number {
    return this.#ready.length;
  }

  /** Entries that are in no batch yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether a batch taken now would be full by rows. */
  get full(): boolean {
    return this.#ready.length >= this.#limits.rowsMax;
  }

  add(entry: Entry): void {
    this.#waiting += 1;
    const behind = this.#behind.get(entry.key);
    if (behind === undefined) {
      this.#behind.set(entry.key, null);
      this.#ready.push(entry);
    } else if (behind === null) {
      this.#behind.set(entry.key, [entry]);
    } else {
      behind.push(entry);
    }
  }

  /** Takes the next batch, empty when nothing is ready. Its keys are closed (G1). */
  take(): Entry[] {
    const { rowsMax, bytesMax } = this.#limits;
    let bytes = 0;
    let count = 0;
    for (const entry of this.#ready) {
      bytes += entry.bytes;
      if (count === rowsMax || (count > 0 && bytes > bytesMax)) break;
      count += 1;
    }
    const batch = this.#ready.slice(0, count);
    this.#ready = this.#ready.slice(count);
    this.#waiting -= count;
    return batch.sort(byKey);
  }

  /** The batch has ended, well or not: what waited behind its keys is ready (G2). */
  reopen(batch: readonly Entry[]): void {
    for (const { key } of batch) {
      const behind = this.#behind.get(key);
      const next = behind?.shift();
      if (next === undefined) this.#behind.delete(key);
      else this.#ready.push(next);
    }
  }
}

/** Order of UTF-16 code units: the same in every process, whatever its locale. */
function byKey(a: Gathered, b: Gathered): number {
  if (a.key === b.key) return 0;
  return a.key < b.key ? -1 : 1;
}

/** Halves of a batch that Postgres refused: the bad row is in one of them, or one in each. */
export function bisect<T>(batch: readonly T[]): readonly [readonly T[], readonly T[]] {
  const middle = Math.ceil(batch.length / 2);
  return [batch.slice(0, middle), batch.slice(middle)];
}
