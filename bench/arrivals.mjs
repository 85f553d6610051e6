/** What has come to the bench's receiver. */

/** A run that has not ended by then is void. */
const runMsMax = 180_000;
const lookEveryMs = 50;

/** Milliseconds by the clock that the receiver notes arrivals by. */
export function now() {
  return performance.timeOrigin + performance.now();
}

/**
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {number} expected
 * @returns {Promise<{ arrivals: [key: string, atMs: number][], duplicates: number }>}
 */
export async function allArrived({ receiver }, expected) {
  const deadline = now() + runMsMax;
  for (;;) {
    const { count } = await receiver.ask('count');
    if (count >= expected) return receiver.ask('dump');
    if (now() > deadline) throw new Error(`only ${count} of ${expected} webhooks came`);
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}
