/**
 * A read that many ask for at once. Each gets an answer that was asked for after its call; one
 * read runs at a time, and all who call meanwhile share the next one.
 */
export class FreshRead<T> {
  private current: Promise<unknown> = Promise.resolve();
  private next: Promise<T> | undefined;

  constructor(private readonly ask: () => Promise<T>) {}

  /** @throws what the read threw. */
  read(): Promise<T> {
    if (this.next !== undefined) return this.next;
    const begun = this.current.then(() => {
      this.next = undefined;
      return this.ask();
    });
    this.next = begun;
    this.current = begun.catch(() => undefined);
    return begun;
  }
}
