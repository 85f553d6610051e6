/** Numbers from a seed, so that a failing order can be run again. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to just below 1. */
  roll(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  chance(p: number): boolean {
    return this.roll() < p;
  }

  upTo(n: number): number {
    return Math.floor(this.roll() * n);
  }

  oneOf<T>(list: readonly T[]): T {
    return list[this.upTo(list.length)]!;
  }
}

/** What must hold, and does not. */
export class Violation extends Error {}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Violation(what);
}
