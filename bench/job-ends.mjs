/** When jobs end, as it is told on `jobs.finished.v1`. */
const topic = 'jobs.finished.v1';
const succeeded = 'millrace.job.succeeded.v1';
/** Of an answer that says why a job failed. */
const shownCharactersMax = 300;

/** @typedef {{ resolve: (at: number) => void, reject: (error: Error) => void }} Waiting */

/**
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {{ waitMsMax: number }} limits
 */
export async function followEnds({ kafka }, { waitMsMax }) {
  /** @type {Map<string, Waiting>} */
  const waiting = new Map();
  // An answer comes with the first record; asking more often only keeps the broker busy.
  const consumer = kafka.consumer({ groupId: 'bench-ends', maxWaitTimeInMs: 500 });
  await consumer.connect();
  await consumer.subscribe({ topic });
  await consumer.run({
    eachMessage: async ({ message }) => {
      const id = String(message.key);
      const type = String(message.headers['ce_type']);
      const why = String(message.value).slice(0, shownCharactersMax);
      if (type === succeeded) waiting.get(id)?.resolve(performance.now());
      else waiting.get(id)?.reject(new Error(`${id} ended as ${type}: ${why}`));
    },
  });
  return {
    /**
     * Ask before the job is submitted.
     * @param {string} id
     * @returns {Promise<number>} when it succeeded; rejects when it did not
     */
    async of(id) {
      const seconds = waitMsMax / 1000;
      let timer;
      try {
        return await new Promise((resolve, reject) => {
          waiting.set(id, { resolve, reject });
          const late = () => reject(new Error(`${id} has not ended within ${seconds} s`));
          timer = setTimeout(late, waitMsMax);
        });
      } finally {
        clearTimeout(timer);
        waiting.delete(id);
      }
    },
    stop: () => consumer.disconnect(),
  };
}
