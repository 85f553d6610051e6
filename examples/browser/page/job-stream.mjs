/**
 * A job's events in a browser, until its end.
 *
 * A connection that breaks is made again by the EventSource itself, with the last id it got. Only
 * where it gives up, because the answer was no stream, this file goes on: it asks what became of
 * the job, waits longer each time, and begins after the last id.
 */

const lastTypes = ['job.succeeded', 'job.failed', 'job.cancelled', 'job.expired'];
const types = ['stream.opened', 'snapshot', 'delta', 'stream.restarted', 'job.running'];

const pauseMsMin = 1_000;
const pauseMsMax = 15_000;

/**
 * @typedef {object} Watcher
 * @property {(after: string) => void} opened `after`: the id it goes on from, or ''
 * @property {() => void} lost the connection broke, and is made again
 * @property {(text: string, kind: 'snapshot' | 'delta') => void} text
 * @property {() => void} restarted another attempt begins the answer again
 * @property {() => void} running
 * @property {(job: { status: string, result?: string, error?: { code: string, detail: string } })
 *   => void} ended
 * @property {(reason: string) => void} gone there is no such job to follow
 */

export class JobStream {
  #lastId = '';
  #pauseMs = pauseMsMin;
  #isOver = false;
  /** @type {EventSource | undefined} */
  #source;
  /** @type {number | undefined} */
  #timer;

  /** @param {string} jobId @param {Watcher} watcher */
  constructor(jobId, watcher) {
    this.path = `/jobs/${encodeURIComponent(jobId)}`;
    this.watcher = watcher;
    this.#connect();
  }

  stop() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  #connect() {
    const after = this.#lastId;
    const query = after === '' ? '' : `?starting_after=${encodeURIComponent(after)}`;
    const source = new EventSource(`${this.path}/events${query}`);
    this.#source = source;
    for (const type of [...types, ...lastTypes]) {
      source.addEventListener(type, (event) => this.#take(event));
    }
    source.addEventListener('error', () => {
      if (this.#isOver) return;
      this.watcher.lost();
      if (source.readyState === EventSource.CLOSED) void this.#askAndComeBack();
    });
  }

  /** @param {MessageEvent} event */
  #take({ type, data, lastEventId }) {
    const content = JSON.parse(data);
    if (type === 'stream.opened') {
      this.#pauseMs = pauseMsMin;
      this.watcher.opened(this.#lastId);
    }
    if (lastEventId !== '') this.#lastId = lastEventId;
    if (type === 'snapshot' || type === 'delta') this.watcher.text(content.text, type);
    if (type === 'stream.restarted') this.watcher.restarted();
    if (type === 'job.running') this.watcher.running();
    if (lastTypes.includes(type)) this.#end(content);
  }

  async #askAndComeBack() {
    const job = await this.#ask();
    if (this.#isOver) return;
    if (job === 'unknown') {
      this.stop();
      return this.watcher.gone('There is no such job.');
    }
    if (lastTypes.includes(`job.${job?.status}`)) return this.#end(job);
    this.#timer = setTimeout(() => this.#connect(), this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, pauseMsMax);
  }

  /** The job; undefined while nobody can be asked. */
  async #ask() {
    try {
      const response = await fetch(this.path);
      if (response.status === 404) return 'unknown';
      return response.ok ? await response.json() : undefined;
    } catch {
      return undefined;
    }
  }

  #end(job) {
    this.stop();
    this.watcher.ended(job);
  }
}
