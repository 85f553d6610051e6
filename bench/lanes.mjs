/**
 * So many things, a few at once, the next as soon as one has ended. The first that fails ends all:
 * what is under way is not waited for, and no other is begun.
 * @param {{ count: number, atOnce: number }} size
 * @param {(n: number) => Promise<unknown>} work
 * @returns {Promise<number>} seconds
 */
export async function inLanes({ count, atOnce }, work) {
  let next = 0;
  const startedAt = performance.now();
  const lane = async () => {
    while (next < count) {
      const n = next;
      next += 1;
      try {
        await work(n);
      } catch (error) {
        next = count;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
  return (performance.now() - startedAt) / 1000;
}
