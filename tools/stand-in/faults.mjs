/**
 * Faults that the stand-in plays for tests: asked for in the prompt, or queued by the control
 * route.
 *
 *   [[fault:429 retry_after=2 times=1]]   429 with `retry-after`
 *   [[fault:500]]  [[fault:529 times=3]]  an error; without `times` it never gets better
 *   [[fault:cut after=3]]                 the stream ends after 3 events, without `message_stop`
 *   [[fault:slow ms=120]]                 the answer, or its first token, comes after 120 ms
 *
 * `times` counts for each prompt: a retry of the same job finds what is left of it.
 */

/**
 * @typedef {object} Fault
 * @property {'429' | '500' | '529' | 'cut' | 'slow'} kind
 * @property {number} retryAfterS
 * @property {number} afterEvents
 * @property {number} ms
 * @property {number} times
 */

/** Prompts whose faults are counted; the oldest are forgotten. */
const promptsMax = 10_000;

export class Faults {
  /** @type {Fault[]} */
  #queued = [];
  /** @type {Map<string, number>} */
  #played = new Map();

  /** @param {Fault} fault for the next `times` requests, whatever they ask */
  queue(fault) {
    this.#queued.push(fault);
  }

  clear() {
    this.#queued = [];
    this.#played.clear();
  }

  /** @returns {readonly Fault[]} */
  get queued() {
    return this.#queued;
  }

  /**
   * @param {string} prompt
   * @returns {Fault | undefined} to be played now; counted as played
   */
  take(prompt) {
    const queued = this.#queued[0];
    if (queued !== undefined) {
      queued.times -= 1;
      if (queued.times <= 0) this.#queued.shift();
      return queued;
    }
    const fault = parseFault(prompt);
    if (fault === undefined) return undefined;
    const played = this.#played.get(prompt) ?? 0;
    if (played >= fault.times) return undefined;
    this.#played.set(prompt, played + 1);
    const oldest = this.#played.keys().next();
    if (this.#played.size > promptsMax && !oldest.done) this.#played.delete(oldest.value);
    return fault;
  }
}

/** @param {string} prompt @returns {Fault | undefined} */
function parseFault(prompt) {
  const [, kind, rest = ''] = /\[\[fault:(\w+)((?:\s+\w+=\d+)*)\]\]/.exec(prompt) ?? [];
  if (kind === undefined) return undefined;
  const options = Object.fromEntries(
    [...rest.matchAll(/(\w+)=(\d+)/g)].map(([, name, value]) => [name, Number(value)]),
  );
  return faultOf({ kind, ...options });
}

/**
 * @typedef {Partial<Record<'kind' | 'retry_after' | 'after' | 'ms' | 'times', unknown>>} Given
 * @param {Given} given
 * @returns {Fault | undefined} undefined when there is no such kind
 */
export function faultOf({ kind, retry_after, after, ms, times }) {
  if (!isKind(kind)) return undefined;
  return {
    kind,
    retryAfterS: numberOr(retry_after, 1),
    afterEvents: numberOr(after, 3),
    ms: numberOr(ms, 1_000),
    times: numberOr(times, Infinity),
  };
}

/** @type {readonly unknown[]} */
const kinds = ['429', '500', '529', 'cut', 'slow'];

/** @param {unknown} kind @returns {kind is Fault['kind']} */
const isKind = (kind) => kinds.includes(kind);

/** @param {unknown} value @param {number} otherwise */
const numberOr = (value, otherwise) => (typeof value === 'number' ? value : otherwise);
