const TrueDate = Date;

/**
 * Sets this process's clock wrong by the first of these offsets, and by the next with each SIGUSR2,
 * round and round: as when somebody sets it. Timers and `performance` go by another clock, here as
 * there.
 */
export function setClockWrong(offsetsMs: readonly number[]): void {
  let nth = 0;
  process.on('SIGUSR2', () => (nth += 1));
  const now = (): number => TrueDate.now() + (offsetsMs[nth % offsetsMs.length] ?? 0);
  globalThis.Date = new Proxy(TrueDate, {
    construct: (target, given: readonly unknown[], newTarget): object =>
      instance(Reflect.construct(target, given.length > 0 ? given : [now()], newTarget)),
    get: (target, name): unknown => (name === 'now' ? now : Reflect.get(target, name)),
  });
}

function instance(made: unknown): object {
  if (made instanceof TrueDate) return made;
  throw new TypeError('no date was made');
}
