/** UTF-16 code units of one delta event: a record stays far below what the broker takes. */
const deltaLengthMax = 64 * 1024;
/** Bytes of UTF-8 that wait for no more: sooner than the linger when a model writes fast. */
const waitingBytesMax = 2 * 1024;

export interface Delta {
  readonly start: number;
  readonly text: string;
}

/**
 * Text of one attempt that waits to be told. Offsets are places in the attempt's text, so pieces
 * may be joined freely.
 */
export class DeltaBuffer {
  #start = 0;
  #text = '';
  #bytes = 0;

  append(text: string): void {
    this.#text += text;
    this.#bytes += Buffer.byteLength(text);
  }

  get isEmpty(): boolean {
    return this.#text === '';
  }

  /** Nothing has been taken yet: the first piece is to leave at once. */
  get isFirst(): boolean {
    return this.#start === 0;
  }

  /** So much waits that it is to leave without waiting for more. */
  get isFull(): boolean {
    return this.#bytes >= waitingBytesMax;
  }

  /** Takes all that waits, in pieces that fit a record. */
  take(): Delta[] {
    const deltas: Delta[] = [];
    let start = this.#start;
    for (const text of pieces(this.#text)) {
      deltas.push({ start, text });
      start += text.length;
    }
    this.#start = start;
    this.#text = '';
    this.#bytes = 0;
    return deltas;
  }
}

function* pieces(text: string): Generator<string> {
  let from = 0;
  while (from < text.length) {
    let to = Math.min(from + deltaLengthMax, text.length);
    // A surrogate pair cut in two would not survive UTF-8.
    if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to -= 1;
    yield text.slice(from, to);
    from = to;
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
