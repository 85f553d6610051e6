/** How long a caller of the HTTP API waits for the 202, which means that the job is on disk. */
import { Agent, request } from 'undici';

const everyMs = 5;

/**
 * Submits jobs at 200/s, each at its time whether or not the one before was answered. As many go
 * before them and are not counted: until then only Kafka has brought jobs, and ingest's code for
 * requests is not compiled yet, as it is in a service that runs for days.
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {number} count
 * @returns {Promise<number[]>} milliseconds of each
 */
export async function httpAcknowledgements(bench, count) {
  await bench.setModelMs(0);
  await bench.receiver.ask('clear');
  const dispatcher = new Agent({ connections: 64 });
  const startedAt = performance.now();
  const submissions = Array.from({ length: 2 * count }, async (_, n) => {
    const dueAt = startedAt + n * everyMs;
    await new Promise((resolve) => setTimeout(resolve, dueAt - performance.now()));
    return submit(bench, { dispatcher, dueAt });
  });
  const durations = await Promise.all(submissions);
  await dispatcher.close();
  return durations.slice(count);
}

/** Counted from when it was due, so that a bench that is late hides nothing. */
async function submit({ stack, receiver }, { dispatcher, dueAt }) {
  const callback = `http://127.0.0.1:${receiver.port}/`;
  const { statusCode, body } = await request(`${stack.urls.api}/v1/jobs`, {
    dispatcher,
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Answer in one sentence.', callback_url: callback }),
  });
  await body.dump();
  if (statusCode !== 202) throw new Error(`a job was answered with ${statusCode}`);
  return performance.now() - dueAt;
}
