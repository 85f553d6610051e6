/** Until the next look after one that failed. */
const retryMs = 1_000;

export interface DueTimerOptions {
  /** Looks, does what is due, and says in how many ms to look again. */
  readonly look: () => Promise<number>;
  /** Between two looks, at most: what another process knows of may be due earlier. */
  readonly everyMsMax: number;
  /** Told of what a look throws. */
  readonly onError: (error: unknown) => void;
}

/** Looks when something falls due, one look at a time; at once when it is started. */
export class DueTimer {
  readonly #options: DueTimerOptions;
  #timer: NodeJS.Timeout | undefined;
  #wakesAtMs = Infinity;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: DueTimerOptions) {
    this.#options = options;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Looks no later than in `ms`. */
  wakeIn(ms: number): void {
    const waitMs = Math.max(0, Math.min(ms, this.#options.everyMsMax));
    const atMs = performance.now() + waitMs;
    if (this.#stopped || atMs >= this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = atMs;
    this.#timer = setTimeout(() => this.#wake(), Math.ceil(waitMs));
  }

  /** Waits for the look that runs. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #wake(): void {
    this.#wakesAtMs = Infinity;
    this.#looking = this.#looking.then(() => this.#look());
  }

  async #look(): Promise<void> {
    if (this.#stopped) return;
    try {
      this.wakeIn(await this.#options.look());
    } catch (error) {
      this.#options.onError(error);
      this.wakeIn(retryMs);
    }
  }
}
